/**
 * What Node does not report of a TLS session: its group, and how it ended, since it shows close_notify
 * and FIN alike. UNDOCUMENTED: OpenSSL inside Node, through FFI, is asked about the SSL below a handle.
 */
import { ffi } from "./libc.ts";

/** The address of an OpenSSL SSL; valid until `destroySSL`. */
export type Ssl = bigint;

/** How the peer ended a session from which everything has been read. */
export type SessionEnd = "close_notify" | "FIN" | "FIN within a record";

/** To be called before an SSL is made. */
export function watchSsls(): void {
  openssl ??= open();
}

/** Returns the SSL that was made last. */
export function lastSsl(): Ssl {
  return made;
}

export function sessionEnd(ssl: Ssl): SessionEnd {
  const {
    SSL_get_shutdown: shutdown,
    SSL_has_pending: hasPending,
    SSL_rstate_string: readState,
  } = openssl!;
  if (shutdown!(ssl) & SSL_RECEIVED_SHUTDOWN) return "close_notify";
  // With the header alone nothing is pending, but a body is expected.
  const isWithin = hasPending!(ssl) || ffi.toString(readState!(ssl)) === READING_BODY;
  return isWithin ? "FIN within a record" : "FIN";
}

/** Returns OpenSSL's name of the group of the key exchange: `X25519MLKEM768`, `x25519` … */
export function groupName(ssl: Ssl): string | undefined {
  const name = openssl!.SSL_get0_group_name!(ssl);
  return name ? ffi.toString(name) ?? undefined : undefined;
}

let made: Ssl = 0n;
let openssl: ReturnType<typeof open> | undefined;

const SSL_RECEIVED_SHUTDOWN = 2;
const READING_BODY = "RB";
/** The class of extra data that belongs to each SSL (openssl/crypto.h). */
const CRYPTO_EX_INDEX_SSL = 0;

/** SSL_new calls the constructor of each kind of extra data, of which this one has none. */
function open() {
  const { lib, functions } = ffi.dlopen(null, {
    CRYPTO_get_ex_new_index: {
      arguments: ["i32", "i64", "pointer", "pointer", "pointer", "pointer"],
      return: "i32",
    },
    SSL_get_shutdown: { arguments: ["pointer"], return: "i32" },
    SSL_has_pending: { arguments: ["pointer"], return: "i32" },
    SSL_rstate_string: { arguments: ["pointer"], return: "pointer" },
    SSL_get0_group_name: { arguments: ["pointer"], return: "pointer" },
  });
  // Kept by the library, which the functions refer to.
  const constructed = lib.registerCallback(
    { arguments: ["pointer"], return: "void" },
    (ssl) => {
      made = ssl as Ssl;
    },
  );
  const index = functions.CRYPTO_get_ex_new_index!(
    CRYPTO_EX_INDEX_SSL,
    0n,
    0n,
    constructed,
    0n,
    0n,
  );
  if (index < 0) throw new Error("OpenSSL does not report the sessions that it makes");
  return functions;
}
