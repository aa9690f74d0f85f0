/** The HTTP server of the admin endpoint. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Server as NetServer, Socket } from "node:net";
import { AccessCheck, type Refusal } from "./access.ts";
import { type Client, Clients } from "./clients.ts";
import { type Answer, json, respond } from "./respond.ts";
import { answerTo, routeFault, type Services } from "./routes.ts";

/** The modules, which only this process loads. */
export interface Modules {
  readonly http: typeof import("node:http");
  readonly net: typeof import("node:net");
}

export interface ServerEvents {
  /** A client has sent a wrong token. */
  wrongToken(address: string): void;
  /** An internal error, which costs the request only. */
  internalError(error: unknown): void;
}

/** In bytes; browsers send the cookies of all of localhost's ports. */
const MAX_HEADER = 16 * 1024;
const MAX_BODY = 1024;
const MAX_DROPPED = 256 * 1024;

/** Serves the endpoint on inherited sockets. */
export class AdminServer {
  readonly access = new AccessCheck();
  private readonly services: Services;
  private readonly events: ServerEvents;
  private readonly net: Modules["net"];
  private readonly http: Server;
  private readonly clients = new Clients();
  private readonly listening: NetServer[] = [];
  private isFinishing = false;
  /** Connections so far, including those that were closed at once. */
  accepted = 0;

  constructor({ http, net }: Modules, services: Services, events: ServerEvents) {
    this.services = services;
    this.events = events;
    this.net = net;
    // Its own time limits need a server that listens; `clients` has ours.
    const options = { maxHeaderSize: MAX_HEADER, keepAliveTimeout: 0, headersTimeout: 0 };
    this.http = http.createServer({ ...options, requestTimeout: 0 });
    // Deno closes each connection of a server that does not listen after its first answer.
    Object.defineProperty(this.http, "listening", { get: () => true });
    this.http.on("request", (request, response) => void this.handle(request, response));
    this.http.on("clientError", (error, socket) => this.unreadable(error, socket as Socket));
  }

  /** Accepts clients of an inherited listening socket. */
  listen(fd: number, isUnix: boolean): void {
    const server = this.net.createServer({ noDelay: true }, (socket) => {
      this.accepted++;
      // The client is gone, which `close` reports.
      socket.on("error", () => {});
      if (this.clients.add(socket, isUnix)) this.http.emit("connection", socket);
      else socket.destroy();
    });
    server.on("error", (error) => this.events.internalError(error));
    server.listen({ fd });
    this.listening.push(server);
  }

  /** Accepts no more; calls back when all answers are sent. */
  finish(finished: () => void): void {
    this.isFinishing = true;
    for (const server of this.listening) server.close();
    this.services.streams.end();
    this.clients.finish(finished);
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const client = this.clients.of(request);
    request.on("error", () => {});
    response.on("error", () => {});
    if (!client?.requested(response)) return void request.socket.destroy();
    try {
      const answer = await this.answer(request, response, client);
      if (answer !== "stream") this.send(answer, response, client, false);
    } catch (error) {
      this.events.internalError(error);
      client.socket.destroy();
    }
  }

  /** Rejected for internal errors only. */
  private async answer(
    request: IncomingMessage,
    response: ServerResponse,
    client: Client,
  ): Promise<Answer | "stream"> {
    const { method = "", url: target = "", httpVersion: version, rawHeaders, socket } = request;
    const { isUnix } = client;
    const address = socket.remoteAddress ?? "";
    const [path = "", query = ""] = target.split(/\?(.*)/s);
    const refusal = this.access.refusal({ method, target, version, rawHeaders, address, isUnix });
    if (refusal?.isWrongToken) this.events.wrongToken(address);
    const body = await bodyOf(request);
    const fault = refusal
      ? answerOf(refusal)
      : body === undefined
      ? json(413, { error: `a body of more than ${MAX_BODY} bytes is not accepted` })
      : routeFault(path, method);
    if (fault || body === undefined) {
      // What follows on the connection may be the rest of this request.
      this.send(fault!, response, client, body === undefined || refusal?.isLast === true);
      return "stream";
    }
    client.received();
    const received = { request, response, client, query: new URLSearchParams(query), body };
    return await answerTo(path, this.services, received);
  }

  private send(
    answer: Answer,
    response: ServerResponse,
    client: Client,
    isLast: boolean,
  ): void {
    client.answering();
    respond(response, answer, { text: answer.body, isLast: isLast || this.isFinishing });
  }

  /** What is not HTTP, or exceeds the limit of a header. */
  private unreadable(error: Error & { readonly code?: string }, socket: Socket): void {
    const { code } = error;
    if (!socket.writable || code === "ECONNRESET") return void socket.destroy();
    const status = code === "HPE_HEADER_OVERFLOW"
      ? "431 Request Header Fields Too Large"
      : "400 Bad Request";
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  }
}

function answerOf({ code, error, headers }: Refusal): Answer {
  const answer = json(code, { error });
  return { ...answer, headers: { ...answer.headers, ...headers } };
}

/**
 * Undefined if it is too large. Some more of it is read and dropped, since clients lose an answer to what
 * they are still sending. Never settled if the client leaves.
 */
function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  return new Promise((resolve) => {
    if (Number(request.headers["content-length"] ?? 0) > MAX_DROPPED) return resolve(undefined);
    request.on("data", (chunk: Uint8Array) => {
      length += chunk.length;
      if (length <= MAX_BODY) chunks.push(chunk);
      else if (length > MAX_DROPPED) resolve(undefined);
    });
    request.on("end", () => {
      resolve(length > MAX_BODY ? undefined : Buffer.concat(chunks).toString());
    });
  });
}
