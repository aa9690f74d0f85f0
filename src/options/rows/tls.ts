/** Options of the TLS handshake, all of which may also stand in a frontend block. */
import type { Option } from "../option.ts";
import { ciphers, ciphersuites, curves, oneOf, onOff, protocols, something } from "../values.ts";

const everywhere = ["line", "file", "frontend"] as const;
const inPemToo = ["line", "file", "frontend", "pem"] as const;

export const tlsOptions = {
  "tls": {
    group: "TLS",
    form: "flag",
    in: everywhere,
    default: "on",
    help: "Offer TLS 1.2 and 1.3; in hitch's dialect every version that the build can speak.",
    parse: onOff,
  },
  "ssl": {
    group: "TLS",
    form: "flag",
    in: everywhere,
    default: "off",
    help: "Offer every version that the build can speak, TLS 1.0 and 1.1 where it has them.",
    parse: onOff,
  },
  "tls-protos": {
    group: "TLS",
    form: "protocols",
    argument: "LIST",
    in: everywhere,
    help: "Offer exactly these versions: any of TLSv1.0, TLSv1.1, TLSv1.2, TLSv1.3.",
    parse: protocols,
    needs: { need: "chooseProtocols", unless: "TLSv1.2,TLSv1.3" },
  },
  "ciphers": {
    group: "TLS",
    short: "c",
    form: "text",
    argument: "LIST",
    in: everywhere,
    default: "",
    help: "OpenSSL cipher list for TLS 1.2 and older; empty is AES-GCM and ChaCha20 with forward " +
      "secrecy, or the TLS library's own list where older versions are offered.",
    parse: ciphers,
    needs: { need: "ciphers", unless: "" },
  },
  "ciphersuites": {
    group: "TLS",
    form: "text",
    argument: "LIST",
    in: everywhere,
    default: "",
    help: "TLS 1.3 cipher suites between colons; empty leaves the TLS library's own.",
    parse: ciphersuites,
    needs: { need: "ciphersuites", unless: "" },
  },
  "ecdh-curve": {
    group: "TLS",
    form: "text",
    argument: "LIST",
    in: everywhere,
    default: "auto",
    help: "Groups for key exchange between colons; auto leaves the TLS library's own.",
    parse: curves,
    needs: { need: "curves", unless: "auto" },
  },
  "prefer-server-ciphers": {
    group: "TLS",
    short: "O",
    form: "flag",
    in: everywhere,
    help: "The server's order of ciphers counts, not the client's; the default in these builds.",
    parse: onOff,
    needs: { need: "preferServerCiphers", unless: "off" },
  },
  "sni-nomatch-abort": {
    group: "TLS",
    form: "flag",
    strict: true,
    in: everywhere,
    default: "off",
    help: "Refuse a client that asks for a name which no certificate has.",
    parse: onOff,
    needs: { need: "sniAbort", unless: "off" },
  },
  "client-verify": {
    group: "Client certificates",
    form: "text",
    argument: "none|optional|required",
    in: inPemToo,
    help: "Whether clients show a certificate; in client mode, whether the backend is verified " +
      "(stud's dialect does unless this is none, hitch's only when it is set).",
    parse: oneOf("none", "optional", "required"),
    needs: { need: "verifyClients", unless: "none" },
  },
  "client-verify-ca": {
    group: "Client certificates",
    form: "text",
    argument: "FILE",
    in: inPemToo,
    path: true,
    empty: "mistake",
    help: "PEM file with the CAs that sign these certificates. In client mode the system's count " +
      "where none is given.",
    parse: something,
  },
  "client-verify-crl": {
    group: "Client certificates",
    form: "text",
    argument: "FILE",
    in: inPemToo,
    path: true,
    help: "PEM file with a revocation list of every such CA.",
    parse: something,
  },
} as const satisfies Record<string, Option>;
