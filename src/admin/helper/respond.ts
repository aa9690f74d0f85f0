import type { ServerResponse } from "node:http";

export interface Answer {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: string;
}

/** For every answer: nothing of it is cached, embedded, or read by pages of other sites. */
const HEADERS: Readonly<Record<string, string>> = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; " +
    "form-action 'none'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
};

/** An answer of one line. */
export function text(code: number, line: string): Answer {
  const headers = { "Content-Type": "text/plain; charset=utf-8" };
  return { code, headers, body: `${line}\n` };
}

export function json(code: number, value: unknown, indent?: number): Answer {
  const headers = { "Content-Type": "application/json; charset=utf-8" };
  return { code, headers, body: `${JSON.stringify(value, null, indent)}\n` };
}

/** Writes the header of an answer that goes on (`open`), or a whole answer. */
export function respond(
  response: ServerResponse,
  answer: Omit<Answer, "body">,
  body: "open" | { readonly text: string; readonly isLast: boolean },
): void {
  for (const [name, value] of Object.entries({ ...HEADERS, ...answer.headers })) {
    response.setHeader(name, value);
  }
  if (body === "open") {
    response.writeHead(answer.code);
    response.flushHeaders();
    return;
  }
  const bytes = Buffer.from(body.text);
  response.setHeader("Content-Length", bytes.length);
  if (body.isLast) response.setHeader("Connection", "close");
  response.writeHead(answer.code);
  response.end(bytes);
}
