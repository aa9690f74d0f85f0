/** Clients of the admin endpoint. */
import { mkdtempSync } from "node:fs";
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { Status } from "../../src/status/status.ts";
import type { Context } from "./context.ts";
import { type Endpoint, endpointText, freeEndpoint } from "./endpoints.ts";
import type { Stud } from "./stud.ts";
import { within } from "./until.ts";

/** A TCP address, or the path of a Unix socket. */
export type AdminAddress = Endpoint | string;

export interface Reply {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Request {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Starts stud with an admin endpoint on a free TCP address, or on a Unix socket. */
export async function administered(
  context: Context,
  { args = [], unix = false }: { readonly args?: readonly string[]; readonly unix?: boolean } = {},
): Promise<{ stud: Stud; admin: AdminAddress }> {
  const admin = unix ? socketPath(context) : await freeEndpoint();
  const echo = await context.echo();
  const stud = await context.stud([`--admin=${textOf(admin)}`, ...args], { backend: echo.port });
  await served(stud);
  return { stud, admin };
}

/** Waits until the helper is started. */
export async function served(stud: Stud): Promise<void> {
  await stud.waitForLog(({ event }) => event === "admin-ready", "the admin endpoint");
}

/** A path for a socket. */
export function socketPath(context: Context): string {
  return join(mkdtempSync(join(context.certificates.directory, "admin-")), "stud.sock");
}

/** As an option's value. */
export function textOf(admin: AdminAddress): string {
  return typeof admin === "string" ? admin : endpointText(admin);
}

/** Sends one request on a connection of its own. */
export function ask(
  admin: AdminAddress,
  path: string,
  { method = "GET", headers = {}, body }: Request = {},
): Promise<Reply> {
  const reply = new Promise<Reply>((resolve, reject) => {
    const place = typeof admin === "string" ? { socketPath: admin } : admin;
    const agent = new Agent({ keepAlive: false });
    const sent = request({ ...place, path, method, headers, agent }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
      response.on("error", reject);
      response.on(
        "end",
        () => resolve({ code: response.statusCode!, headers: response.headers, body: text }),
      );
    });
    sent.on("error", reject).end(body);
  });
  return within(reply, `the answer to ${method} ${path}`);
}

export async function statusOf(admin: AdminAddress): Promise<Status> {
  const { code, body } = await ask(admin, "/status");
  if (code !== 200) throw new Error(`status ${code}: ${body}`);
  return JSON.parse(body);
}

/** Sends bytes and returns what comes back until the end of the connection. */
export async function sendRaw(admin: AdminAddress, ...parts: (string | Buffer)[]): Promise<string> {
  const socket = open(admin);
  let text = "";
  const ended = new Promise<string>((resolve) => {
    socket.setEncoding("latin1").on("data", (chunk: string) => text += chunk);
    socket.on("close", () => resolve(text));
  });
  for (const part of parts) socket.write(part);
  return await within(ended, "the end of the connection");
}

/** A connection whose errors do not matter. */
export function open(admin: AdminAddress): Socket {
  const socket = typeof admin === "string" ? connect(admin) : connect(admin);
  return socket.setNoDelay().on("error", () => {});
}

export function post(admin: AdminAddress, path: string, body = ""): Promise<Reply> {
  return ask(admin, path, { method: "POST", body });
}

/** A token for `--admin-token-file`. */
export const TOKEN = "0123456789abcdef-token";
