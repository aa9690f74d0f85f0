import { getSystemErrorMessage, getSystemErrorName } from "node:util";
import type { Failure } from "../failure.ts";

/** An owner threw, or what the core answered to a handshake cannot be used. */
export function internalFailure(error: unknown): Failure {
  return { code: "ERR_INTERNAL", message: oneLine(String((error as Error)?.message ?? error)) };
}

/** `errno` is negative. */
export function errnoFailure(errno: number): Failure {
  const code = getSystemErrorName(errno);
  return { code, message: getSystemErrorMessage(errno) ?? code };
}

/** OpenSSL's own words. */
export function tlsFailure(error: Error): Failure {
  const { code, reason } = error as Error & { code?: string; reason?: string };
  return { code: code ?? error.name, message: oneLine(reason ?? error.message) };
}

function oneLine(text: string): string {
  return text.split("\n", 1)[0]!;
}
