import type { TlsSettings } from "../../src/runtime/tls.ts";

/** What every test of an adapter has in common: no certificates, and no choices configured. */
export const plainSettings: TlsSettings = {
  select: () => 0,
  identity: () => ({ certificates: [] }),
  choice: false,
  verifies: true,
  protocols: ["TLSv1.2", "TLSv1.3"],
  ciphers: "",
  ciphersuites: "",
  curves: "",
  preferServerCiphers: true,
  alpn: [],
  tickets: true,
  sessionTimeout: 7200,
};
