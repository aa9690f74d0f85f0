import { COMMON_SUITES } from "../cipher_list.ts";
import type { Capabilities } from "../capabilities.ts";

/** What Deno's rustls always offers: the defaults of its provider aws-lc. */
export const offers: Required<Capabilities["offers"]> = {
  ciphers: ["ECDSA", "RSA"].flatMap((key) =>
    ["AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305"].map((cipher) =>
      `ECDHE-${key}-${cipher}`
    )
  ),
  ciphersuites: COMMON_SUITES,
  curves: ["X25519MLKEM768", "X25519", "P-256", "P-384"],
};
