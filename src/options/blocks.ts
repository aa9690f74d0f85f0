/** Composite values: certificates and frontends, which files may also write as blocks. */
import { type ListenText, parseListen } from "./address.ts";
import type { Dialect } from "../base/dialect.ts";
import type { SettingsOf } from "./option.ts";
import type { blockOptions, certificateOptions } from "./rows/certificates.ts";
import type { tlsOptions } from "./rows/tls.ts";
import { nonEmpty } from "./values.ts";

/** Settings that are allowed in blocks only. */
export type BlockName =
  | "cert"
  | "host"
  | "match-global-certs"
  | "ocsp-resp-file"
  | "port"
  | "private-key";

type PemKeys = SettingsOf<
  & Pick<typeof blockOptions, "cert" | "private-key" | "ocsp-resp-file">
  & Pick<typeof certificateOptions, "ocsp-verify-staple">
  & Pick<typeof tlsOptions, "client-verify" | "client-verify-ca" | "client-verify-crl">
>;

/** The keys given for one certificate, at least `cert`. */
export type PemValue = Partial<PemKeys> & { readonly cert: string };

/** The TLS settings given in one frontend block. */
export type FrontendSettings = Partial<
  SettingsOf<typeof tlsOptions & Pick<typeof blockOptions, "match-global-certs">>
>;

export interface FrontendValue {
  readonly listen: ListenText["listen"];
  readonly pemFiles: readonly PemValue[];
  readonly settings: FrontendSettings;
}

/** Returns all certificates that are given, for all frontends and for one. */
export function pemValues(
  { "pem-file": global, frontend }: {
    readonly "pem-file": readonly PemValue[];
    readonly frontend: readonly FrontendValue[];
  },
): readonly PemValue[] {
  return [...global, ...frontend.flatMap(({ pemFiles }) => pemFiles)];
}

/** Where clients connect if no frontend is given. */
export const DEFAULT_FRONTEND = "[*]:8443";

/** Parses a certificate given as a file name. Throws a ValueError. */
export function pemText(text: string): PemValue {
  return { cert: nonEmpty(text) };
}

/** Parses a frontend given as an address, with its certificate after a `+`. Throws a ValueError. */
export function frontendText(text: string, dialect: Dialect): FrontendValue {
  const { listen, cert } = parseListen(text, dialect);
  return { listen, pemFiles: cert === "" ? [] : [{ cert }], settings: {} };
}
