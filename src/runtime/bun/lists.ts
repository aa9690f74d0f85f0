import type { SecureContextOptions } from "node:tls";
import { cipherItems, fitGroups, type ListLibrary } from "../fit_lists.ts";
import type { TlsParameters } from "../tls.ts";

/** What BoringSSL makes of lists; its `TLSv1` includes what OpenSSL calls `SSLv3`. */
export const boringSsl: ListLibrary = {
  title: "BoringSSL",
  hasLevels: false,
  classes: {
    "FIPS": ["AES"],
    "SHA256": ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256"],
    "TLSv1": ["ECDHE+TLSv1"],
    "TLSv1.0": ["ECDHE+TLSv1"],
  },
  hasGroupSyntax: false,
  groups: {
    "default": ["X25519MLKEM768", "X25519", "P-256", "P-384"],
    "x25519mlkem768": ["X25519MLKEM768"],
    "x25519": ["X25519"],
    ...Object.fromEntries(
      ["256", "384", "521"].flatMap((bits) =>
        [`p-${bits}`, `secp${bits}r1`, ...(bits === "256" ? ["prime256v1"] : [])].map((name) =>
          [name, [`P-${bits}`]] as const
        )
      ),
    ),
  },
};

/** Returns the lists as options for node:tls. Throws an Error if nothing is left of one. */
export function listOptions(settings: TlsParameters): SecureContextOptions {
  const { curves } = settings;
  const items = cipherItems(settings, boringSsl);
  return {
    ...(items.length === 0 ? {} : { ciphers: items.join(":") }),
    ...(curves === "" ? {} : { ecdhCurve: fitGroups(curves, boringSsl).items.join(":") }),
  };
}
