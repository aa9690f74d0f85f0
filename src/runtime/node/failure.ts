import { getSystemErrorMessage, getSystemErrorName } from "node:util";
import { type Failure, firstLine } from "../failure.ts";
import { tlsFault } from "../tls_fault.ts";

/** Returns the failure of an errno, which is negative. */
export function errnoFailure(errno: number): Failure {
  const code = getSystemErrorName(errno);
  return { code, message: getSystemErrorMessage(errno) ?? code };
}

/** Returns the failure in OpenSSL's own words. */
export function tlsFailure(error: Error): Failure {
  const { code, reason } = error as Error & { code?: string; reason?: string };
  const message = firstLine(reason ?? error.message);
  return { code: code ?? error.name, message, fault: tlsFault(message) };
}
