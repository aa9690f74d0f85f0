/**
 * Makes OpenSSL verify client certificates within the handshake, so that the client gets the alert.
 * UNDOCUMENTED: Node sets a callback that accepts every certificate, and leaves the decision to code
 * after the handshake. OpenSSL's functions are called through FFI, as in `native_openssl.ts`.
 */
import type { DynamicLibrary } from "node:ffi";
import { raise } from "../../base/raise.ts";
import { verifyErrorName } from "../../base/verify_errors.ts";
import type { NativeContext } from "./handles.ts";
import { ffi } from "./libc.ts";
import { pointerOf } from "./native_openssl.ts";

/**
 * From now on a handshake with this context fails if its client presents a certificate that is not
 * trusted. Throws an Error if Node does not show the address of the context.
 */
export function verifyInHandshake(context: NativeContext): void {
  verifier ??= makeVerifier();
  verifier.useFor(pointerOf(context));
}

/** Returns why the certificate of the handshake that has just failed was rejected, if it was. */
export function takeRejection(): string | undefined {
  const reason = rejected;
  rejected = undefined;
  return reason;
}

let verifier: Verifier | undefined;
let rejected: string | undefined;

interface Verifier {
  /** Keeps the callbacks. */
  readonly library: DynamicLibrary;
  useFor(context: bigint): void;
}

function makeVerifier(): Verifier {
  const library = new ffi.DynamicLibrary(null);
  const one = ["pointer"] as const;
  const two = ["pointer", "pointer"] as const;
  const open = library.getFunction.bind(library);
  const setCallback = open("X509_STORE_CTX_set_verify_cb", { arguments: two, return: "void" });
  const verify = open("X509_verify_cert", { arguments: one, return: "i32" });
  const errorOf = open("X509_STORE_CTX_get_error", { arguments: one, return: "i32" });
  const use = open("SSL_CTX_set_cert_verify_callback", {
    arguments: ["pointer", "pointer", "pointer"],
    return: "void",
  });
  // It replaces Node's: the first error ends the verification.
  const strict = library.registerCallback(
    { arguments: ["i32", "pointer"], return: "i32" },
    (isValid) => isValid,
  );
  const decide = library.registerCallback({ arguments: two, return: "i32" }, (chain) => {
    try {
      setCallback(chain, strict);
      if (verify(chain) === 1) return 1;
      rejected = verifyErrorName(errorOf(chain));
    } catch (error) {
      raise(error);
    }
    return 0;
  });
  return { library, useFor: (context) => use(context, decide, 0n) };
}
