/** An HTTP server with the live page and a stream of status documents that a test writes. */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { PAGE_HEADERS, pageFiles } from "../../src/admin/page/page.ts";
import type { Status } from "../../src/status/status.ts";

export class PageServer {
  readonly #streams = new Set<ServerResponse>();
  readonly #server = createServer(({ url = "" }, response) => {
    if (url === "/events") return this.#stream(response);
    const file = pageFiles[url];
    if (!file) return void response.writeHead(404).end();
    response.writeHead(200, { ...PAGE_HEADERS, "Content-Type": file.type }).end(file.body);
  });
  #last: Status | undefined;
  /** Answers to requests for the stream are errors. */
  isRefusing = false;
  /** Requests for the stream so far. */
  connects = 0;

  async start(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** Sends a document to all pages, and to those that connect later. */
  send(status: Status): void {
    this.#last = status;
    for (const stream of this.#streams) write(stream, status);
  }

  /** Ends all streams, as a master that exits does. */
  cut(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #stream(response: ServerResponse): void {
    this.connects++;
    if (this.isRefusing) return void response.writeHead(503).end();
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.flushHeaders();
    this.#streams.add(response.on("close", () => this.#streams.delete(response)));
    if (this.#last) write(response, this.#last);
  }
}

function write(stream: ServerResponse, status: Status): void {
  stream.write(`event: status\ndata: ${JSON.stringify(status)}\n\n`);
}
