import { getSystemErrorMessage, getSystemErrorName } from "node:util";
import { type Failure, firstLine } from "../failure.ts";
import { tlsFault } from "../tls_fault.ts";
import { takeRejection } from "./verify.ts";

/** Returns the failure of an errno, which is negative. */
export function errnoFailure(errno: number): Failure {
  const code = getSystemErrorName(errno);
  return { code, message: getSystemErrorMessage(errno) ?? code };
}

/** Returns the failure in OpenSSL's own words. */
export function tlsFailure(error: Error): Failure {
  const { code, reason } = error as Error & { code?: string; reason?: string };
  const message = firstLine(reason ?? error.message);
  const certificate = code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"
    ? ""
    : code === "ERR_SSL_CERTIFICATE_VERIFY_FAILED"
    ? takeRejection()
    : undefined;
  return {
    code: code ?? error.name,
    message,
    fault: tlsFault(message),
    ...(certificate === undefined ? {} : { certificate }),
  };
}
