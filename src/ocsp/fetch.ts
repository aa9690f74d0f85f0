import { GrowingBuffer } from "../base/growing_buffer.ts";
import { MAX_RESPONSE } from "./messages.ts";

/** Both in seconds. */
export interface FetchLimits {
  readonly connectTimeout: number;
  readonly responseTimeout: number;
}

/** The responder did not answer within the time limit. */
export class SilentResponderError extends Error {
  override readonly name = "SilentResponderError";
}

const MAX_REDIRECTS = 3;
const redirects: readonly number[] = [301, 302, 307, 308];

/**
 * Sends a request to a responder by HTTP POST (RFC 6960 appendix A.1) and returns the response's
 * bytes, unchecked. `fetch` does not report when it has connected, so the sum of both limits
 * applies to the whole exchange. Throws a SilentResponderError at that limit, otherwise an Error;
 * both messages are one line.
 */
export async function fetchResponse(
  responder: string,
  request: Uint8Array<ArrayBuffer>,
  limits: FetchLimits,
): Promise<Uint8Array> {
  const seconds = limits.connectTimeout + limits.responseTimeout;
  const abort = new AbortController();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new SilentResponderError(`no answer from ${responder} within ${seconds} s`));
    abort.abort();
  }, seconds * 1000);
  try {
    return await Promise.race([post(responder, request, abort.signal), late.promise]);
  } catch (error) {
    if (error instanceof SilentResponderError) throw error;
    throw new Error(`${responder}: ${reason(error)}`);
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

async function post(
  responder: string,
  body: Uint8Array<ArrayBuffer>,
  signal: AbortSignal,
): Promise<Uint8Array> {
  let url = new URL(responder);
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw new Error(`${url.protocol} is not supported, only http: and https:`);
    }
    const answer = await fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/ocsp-request",
        accept: "application/ocsp-response",
        "accept-encoding": "identity",
      },
      body,
      // Redirects are followed here, since fetch would turn the request into a GET without a body.
      redirect: "manual",
      signal,
    });
    if (answer.status === 200) return await readBody(answer);
    const location = answer.headers.get("location");
    if (!redirects.includes(answer.status) || !location) {
      throw new Error(`the responder answers with HTTP status ${answer.status}`);
    }
    await answer.body?.cancel();
    url = new URL(location, url);
  }
  throw new Error(`the responder redirects more than ${MAX_REDIRECTS} times`);
}

async function readBody(answer: Response): Promise<Uint8Array> {
  const body = new GrowingBuffer();
  for await (const chunk of answer.body ?? []) {
    if (body.bytes.length + chunk.length > MAX_RESPONSE) {
      throw new Error(`the answer is larger than ${MAX_RESPONSE} bytes`);
    }
    body.add(chunk);
  }
  return body.bytes;
}

/** Returns the message in one line, with that of the cause, which is the system's error. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause, message } = error;
  const text = cause instanceof Error ? `${message}: ${cause.message}` : message;
  return text.replaceAll(/\s+/g, " ");
}
