/** A Redis server for one test. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { run, serve, type Server } from "./commands.ts";
import type { Context } from "./context.ts";
import { type Endpoint, freeEndpoint } from "./endpoints.ts";
import { until } from "./until.ts";

export const PASSWORD = "a-password-that-nobody-else-has";

/** Another address of an encrypted server, which is not in its certificate. */
export const OTHER_ADDRESS = "127.0.0.2";

/** It stores nothing on disk: after a restart it is empty. */
export class Redis {
  readonly endpoint: Endpoint;
  private readonly directory: string;
  /** A PEM file with the server's key and certificate, and its CA's. */
  private readonly tls: { readonly pem: string; readonly ca: string } | undefined;
  private server: Server | undefined;

  private constructor(endpoint: Endpoint, directory: string, tls: Redis["tls"]) {
    this.endpoint = endpoint;
    this.directory = directory;
    this.tls = tls;
  }

  /** Starts a server and waits until it answers; with `isEncrypted` over TLS with a localhost certificate. */
  static async start(context: Context, { isEncrypted = false } = {}): Promise<Redis> {
    const { localhost: pem, ca, directory } = context.certificates;
    const redis = new Redis(
      // That address is in the certificate.
      await freeEndpoint(isEncrypted ? "127.0.0.1" : undefined),
      mkdtempSync(join(directory, "redis-")),
      isEncrypted ? { pem, ca } : undefined,
    );
    context.after(() => redis.stop());
    await redis.start();
    return redis;
  }

  /** The URL with the password; `host` is its address or a name for it. */
  url({ host = this.endpoint.host, password = PASSWORD } = {}): string {
    const scheme = this.tls ? "rediss" : "redis";
    return `${scheme}://:${password}@${host}:${this.endpoint.port}`;
  }

  async start(): Promise<void> {
    const { endpoint: { host, port }, tls } = this;
    this.server = serve("redis-server", [
      ...["--bind", host, ...(tls ? [OTHER_ADDRESS] : [])],
      ...["--port", tls ? "0" : `${port}`, "--requirepass", PASSWORD],
      ...["--dir", this.directory, "--save", ""],
      ...(tls
        ? [
          ...["--tls-port", `${port}`, "--tls-auth-clients", "no"],
          ...["--tls-cert-file", tls.pem, "--tls-key-file", tls.pem, "--tls-ca-cert-file", tls.ca],
        ]
        : []),
    ]);
    await until(async () => await this.ask("PING") === "PONG", "an answer of redis-server");
  }

  async stop(): Promise<void> {
    await this.server!.stop();
  }

  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.server!.signal(name);
  }

  /** What redis-cli prints for a command. */
  async ask(...words: string[]): Promise<string> {
    const { host, port } = this.endpoint;
    const tls = this.tls ? ["--tls", "--insecure"] : [];
    const server = ["-h", host, "-p", `${port}`, "-a", PASSWORD, "--no-auth-warning", ...tls];
    return (await run("redis-cli", [...server, ...words])).stdout.trim();
  }

  /** The names of all entries. */
  async names(): Promise<string[]> {
    return (await this.ask("KEYS", "*")).split("\n").filter((name) => name !== "").sort();
  }
}
