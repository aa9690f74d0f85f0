/** An HTTP server in place of an admin endpoint. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Status } from "../../src/status/status.ts";
import { statusDocument } from "./small_status.ts";

export class FakeAdmin {
  /** The path of its Unix socket. */
  readonly path: string;
  /** What `/status` answers. */
  status: Status = statusDocument();
  /** Answers instead, if it is set. */
  handler: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  /** The requests so far, as `GET /status`, with their `authorization`. */
  readonly requests: { readonly line: string; readonly authorization: string | undefined }[] = [];
  readonly #directory = mkdtempSync(join(tmpdir(), "stud-admin-"));
  #server = this.#newServer();

  private constructor() {
    this.path = join(this.#directory, "admin.sock");
  }

  static async start(): Promise<FakeAdmin> {
    const admin = new FakeAdmin();
    await admin.listen();
    return admin;
  }

  async listen(): Promise<void> {
    this.#server = this.#newServer();
    await new Promise<void>((resolve) => this.#server.listen(this.path, resolve));
  }

  /** Stops listening and removes its socket. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #newServer(): ReturnType<typeof createServer> {
    return createServer((request, response) => {
      const { authorization } = request.headers;
      this.requests.push({ line: `${request.method} ${request.url}`, authorization });
      if (this.handler) return this.handler(request, response);
      const isStatus = request.method === "GET" && request.url === "/status";
      response.writeHead(isStatus ? 200 : 404, { "content-type": "application/json" });
      response.end(isStatus ? JSON.stringify(this.status) : "{}");
    });
  }
}
