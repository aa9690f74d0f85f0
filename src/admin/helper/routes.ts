/** What each path answers. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { CONTENT_TYPES, expose, type ExpositionFormat } from "../../status/exposition.ts";
import { negotiate } from "../../status/negotiate.ts";
import type { Status } from "../../status/status.ts";
import { PAGE_HEADERS, type PageFile, pageFiles } from "../page/page.ts";
import type { Action, Actions } from "./actions.ts";
import type { Client } from "./clients.ts";
import { type Answer, json, respond, text } from "./respond.ts";
import { NoAnswer, type Snapshots } from "./snapshots.ts";
import type { Streams } from "./streams.ts";

/** What routes need. */
export interface Services {
  readonly snapshots: Snapshots;
  readonly streams: Streams;
  readonly actions: Actions;
}

/** A request that is allowed and complete. */
export interface Received {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly client: Client;
  readonly query: URLSearchParams;
  readonly body: string;
}

type Route = (services: Services, received: Received) => Promise<Answer | "stream"> | Answer;

type Method = "GET" | "POST";

interface RouteFor {
  readonly method: Method;
  readonly route: Route;
}

const ROUTES: Readonly<Record<string, RouteFor>> = {
  ...Object.fromEntries(Object.entries(pageFiles).map(([path, file]) => [path, routeTo(file)])),
  "/metrics": {
    method: "GET",
    route: async ({ snapshots }, { request }) => {
      const format = negotiate(request.headers.accept);
      return {
        code: 200,
        headers: { "Content-Type": CONTENT_TYPES[format], Vary: "Accept" },
        body: exposed(await snapshots.get(), format),
      };
    },
  },
  "/healthz": {
    method: "GET",
    route: async ({ snapshots }) => {
      await snapshots.get();
      return text(200, "ok");
    },
  },
  "/readyz": {
    method: "GET",
    route: async ({ snapshots }) => {
      const { ready: { isReady, reason = "not ready" } } = await snapshots.get();
      return isReady ? text(200, "ready") : text(503, reason);
    },
  },
  "/status": {
    method: "GET",
    route: async ({ snapshots }, { query }) =>
      json(200, await snapshots.get(), query.has("pretty") ? 2 : undefined),
  },
  "/events": {
    method: "GET",
    route: ({ streams }, { request, response, client }) => {
      if (streams.isFull) {
        return json(503, { error: "too many clients follow the events; try again later" });
      }
      const headers = { "Content-Type": "text/event-stream; charset=utf-8" };
      if (request.method === "HEAD") return { code: 200, headers, body: "" };
      respond(response, { code: 200, headers }, "open");
      streams.add(response, client);
      return Promise.resolve("stream");
    },
  },
  "/reload": { method: "POST", route: (services) => act(services, { action: "reload" }) },
  "/drain": { method: "POST", route: (services) => act(services, { action: "drain" }) },
  "/log-level": {
    method: "POST",
    route: (services, { body }) => {
      const level = /^\s*([012])\s*$/.exec(body)?.[1];
      if (level === undefined) return json(400, { error: "the body must be 0, 1 or 2" });
      return act(services, { action: "log-level", level: Number(level) as 0 | 1 | 2 });
    },
  },
};

function routeTo({ type, body }: PageFile): RouteFor {
  const headers = { ...PAGE_HEADERS, "Content-Type": type };
  return { method: "GET", route: () => ({ code: 200, headers, body }) };
}

/** Why a path cannot be requested by this method; undefined: it can. */
export function routeFault(path: string, method: string): Answer | undefined {
  const found = Object.hasOwn(ROUTES, path) ? ROUTES[path]! : undefined;
  if (!found) {
    const paths = Object.keys(ROUTES).join(" ");
    return json(404, { error: `there is no such path; there are: ${paths}` });
  }
  const allowed = found.method === "GET" ? ["GET", "HEAD"] : ["POST"];
  if (allowed.includes(method)) return undefined;
  const { headers, ...answer } = json(405, { error: `use ${allowed.join(" or ")} for this path` });
  return { ...answer, headers: { ...headers, Allow: allowed.join(", ") } };
}

/** Answers a request without a {@link routeFault}. Never rejected for what the master does. */
export async function answerTo(
  path: string,
  services: Services,
  received: Received,
): Promise<Answer | "stream"> {
  try {
    return await ROUTES[path]!.route(services, received);
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    return json(503, { error: error.message });
  }
}

async function act({ actions }: Services, action: Action): Promise<Answer> {
  const answer = await actions.ask(action);
  if (!answer) return json(503, { error: "too many requests wait for their answers" });
  return json(answer.code, answer.body);
}

/** The last one of each format, since several clients may ask within a quarter of a second. */
const written = new WeakMap<Status, Map<ExpositionFormat, string>>();

function exposed(status: Status, format: ExpositionFormat): string {
  const known = written.get(status) ?? new Map<ExpositionFormat, string>();
  written.set(status, known);
  const found = known.get(format) ?? expose(status.metrics, format);
  known.set(format, found);
  return found;
}
