/** Asks an admin endpoint over HTTP, with limits on time and size. */
import { statSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { errorNameText, errorText } from "../base/error_text.ts";
import { displayAddress } from "../options/address.ts";
import { SubcommandError } from "../options/subcommand.ts";
import type { Service } from "./service.ts";
import { plain } from "./plain.ts";

export interface Question {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** Time limit for the whole answer, in milliseconds. */
  readonly limitMs: number;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** The time limit of everything that needs no work of the service. */
export const ANSWER_LIMIT_MS = 4000;
/** More than the status of 1,000 certificates with 100 names each. */
const MAX_BODY = 32 * 1024 * 1024;
/** Characters of a foreign answer that are shown. */
const MAX_SHOWN = 200;

/** Nobody answers in time. `isLate` if the connection was accepted and the time limit elapsed. */
export class AwayError extends SubcommandError {
  readonly isLate: boolean;

  constructor(problem: string, isLate = false) {
    super(problem);
    this.isLate = isLate;
  }
}

/**
 * Sends one request on a connection of its own. Throws an {@link AwayError} with one line if there is
 * no answer of HTTP within the limits.
 */
export async function ask(service: Service, question: Question): Promise<Answer> {
  const where = nameOf(service);
  const { address } = service;
  if (address && "path" in address && !address.path.startsWith("@")) checkSocket(address.path);
  try {
    return await exchange(service, question);
  } catch (error) {
    if (error instanceof SubcommandError) throw error;
    throw new AwayError(`${where}: ${faultOf(error as NodeJS.ErrnoException)}`);
  }
}

/** Returns the endpoint's address for messages. Throws a SubcommandError if it has none. */
export function nameOf({ address, origin, problem }: Service): string {
  if (address) return displayAddress(address);
  if (problem !== undefined) {
    throw new SubcommandError(
      `${origin}: the admin endpoint of this stud is not known: ${problem}`,
    );
  }
  throw new SubcommandError(
    `${origin}: this stud has no admin endpoint; start it with --admin, as in ` +
      "--admin=/run/stud/admin.sock",
  );
}

/** Returns the error for an answer that the endpoint would not give to this request. */
export function refusal(service: Service, { status, body }: Answer): SubcommandError {
  const where = nameOf(service);
  if (status === 401) {
    return new SubcommandError(
      service.token === undefined
        ? `${where}: it requires a token; give --admin-token-file`
        : `${where}: it does not accept the token; check --admin-token-file`,
    );
  }
  const reason = reasonIn(body);
  if (reason !== undefined) return new SubcommandError(`${where}: ${reason}`);
  return new SubcommandError(
    `${where}: it answers with HTTP status ${status}; check that this is the admin endpoint of a stud`,
  );
}

/** A stud says why it refuses a request, in a member `error`. */
function reasonIn(body: string): string | undefined {
  try {
    const { error } = JSON.parse(body) as { readonly error?: unknown };
    return typeof error === "string" ? plain(error.slice(0, MAX_SHOWN)) : undefined;
  } catch {
    return undefined;
  }
}

async function exchange(service: Service, { method, path, limitMs }: Question): Promise<Answer> {
  // In a bundle a static import would load it in every process.
  const { request } = await import("node:http");
  const { address, token } = service;
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const outgoing = request({
    agent: false,
    method,
    path,
    ...(address && "path" in address
      ? { socketPath: address.path.replace(/^@/, "\0") }
      : { host: address!.host, port: address!.port }),
    headers: {
      accept: "application/json",
      ...(address && "path" in address ? { host: "localhost" } : {}),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(method === "POST" ? { "content-length": "0" } : {}),
    },
  });
  const timer = setTimeout(() => {
    const seconds = limitMs / 1000;
    reject(new AwayError(`${nameOf(service)}: no answer within ${seconds} s; try again`, true));
    outgoing.destroy();
  }, limitMs);
  outgoing.on("error", reject);
  outgoing.on("response", (incoming) => {
    readBody(incoming).then((body) => resolve({ status: incoming.statusCode ?? 0, body }), reject);
  });
  outgoing.end();
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    outgoing.destroy();
  }
}

async function readBody(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    size += chunk.length;
    if (size > MAX_BODY) throw new Error(`the answer has more than ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** The runtimes' own errors for Unix sockets do not always say which of these it is. */
function checkSocket(path: string): void {
  const fail = (what: string) => {
    throw new AwayError(`unix:${path}: ${what}`);
  };
  try {
    if (!statSync(path).isSocket()) return fail("this is not a socket; check the path");
  } catch (error) {
    if (error instanceof AwayError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") {
      return fail(`it does not exist; is stud running with --admin=${path}?`);
    }
    return fail(code === "EACCES" ? FORBIDDEN : errorText(error));
  }
}

const FORBIDDEN = "Permission denied; run this as root or as a user with access to the socket";

function faultOf({ code = "", message }: NodeJS.ErrnoException): string {
  if (code === "EACCES" || code === "EPERM") return FORBIDDEN;
  if (code === "ECONNREFUSED") return "Connection refused; is stud running?";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return "this host name cannot be resolved; check the address";
  }
  if (code.startsWith("HPE_") || code === "ECONNRESET") {
    return "what answers does not speak HTTP, or it closed the connection; check that this is the " +
      "admin endpoint of a stud";
  }
  return plain(code === "" ? message : errorNameText(code));
}
