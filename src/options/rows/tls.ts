/** Options for the TLS handshake, all of which are also allowed in a frontend block. */
import { permitsCiphers, permitsCurves, permitsSuites } from "../fixed_lists.ts";
import type { Option } from "../option.ts";
import { ciphers, ciphersuites, curves, protocols } from "../tls_values.ts";
import { nonEmpty, oneOf, onOff } from "../values.ts";

const globalAndFrontend = ["line", "file", "frontend"] as const;
const everywhere = ["line", "file", "frontend", "pem"] as const;

export const tlsOptions = {
  "tls": {
    group: "TLS",
    form: "flag",
    in: globalAndFrontend,
    default: "on",
    help: "Offer TLS 1.2 and 1.3; in hitch's dialect, every version that the build supports.",
    parse: onOff,
  },
  "ssl": {
    group: "TLS",
    form: "flag",
    in: globalAndFrontend,
    default: "off",
    help: "Offer every version that the build supports, including TLS 1.0 and 1.1 if available.",
    parse: onOff,
  },
  "tls-protos": {
    group: "TLS",
    form: "protocols",
    argument: "LIST",
    in: globalAndFrontend,
    help: "Offer exactly these versions: any of TLSv1.0, TLSv1.1, TLSv1.2, TLSv1.3. Others, such " +
      "as SSLv3, are passed over with a warning.",
    parse: protocols,
    needs: { need: "chooseProtocols", unless: "TLSv1.2,TLSv1.3" },
  },
  "ciphers": {
    group: "TLS",
    short: "c",
    form: "text",
    argument: "LIST",
    in: globalAndFrontend,
    default: "",
    help: "OpenSSL cipher list for TLS 1.2 and older; empty means AES-GCM and ChaCha20 with " +
      "forward secrecy, or the TLS library's default list if older versions are offered. Names " +
      "that the library does not know are passed over with a warning.",
    parse: ciphers,
    needs: { need: "ciphers", unless: "", permits: permitsCiphers },
  },
  "ciphersuites": {
    group: "TLS",
    form: "text",
    argument: "LIST",
    in: globalAndFrontend,
    default: "",
    help: "TLS 1.3 cipher suites, separated by colons; empty means the TLS library's default.",
    parse: ciphersuites,
    needs: { need: "ciphersuites", unless: "", permits: permitsSuites },
  },
  "ecdh-curve": {
    group: "TLS",
    form: "text",
    argument: "LIST",
    in: globalAndFrontend,
    default: "auto",
    help: "Key exchange groups, separated by colons; auto means the TLS library's default.",
    parse: curves,
    needs: { need: "curves", unless: "auto", permits: permitsCurves },
  },
  "prefer-server-ciphers": {
    group: "TLS",
    short: "O",
    form: "flag",
    in: globalAndFrontend,
    help: "Prefer the server's cipher order to the client's; the default in these builds.",
    parse: onOff,
    needs: {
      need: "preferServerCiphers",
      unless: "off",
      // With nothing weak on offer, the order is a matter of cost.
      permits: () => "this build always uses the client's order of its ciphers",
    },
  },
  "sni-nomatch-abort": {
    group: "TLS",
    form: "flag",
    strict: true,
    in: globalAndFrontend,
    default: "off",
    help: "Refuse clients whose server name (SNI) matches no certificate.",
    parse: onOff,
    needs: { need: "sniAbort", unless: "off" },
  },
  "client-verify": {
    group: "Client certificates",
    form: "text",
    argument: "none|optional|required",
    example: "required",
    in: everywhere,
    help: "Whether clients must present a certificate; in client mode, whether the backend is " +
      "verified (in stud's dialect unless this is none, in hitch's only if this is set).",
    parse: oneOf("none", "optional", "required"),
    needs: { need: "verifyClients", unless: "none" },
  },
  "client-verify-ca": {
    group: "Client certificates",
    form: "text",
    argument: "FILE",
    example: "/etc/ssl/clients-ca.pem",
    in: everywhere,
    path: true,
    empty: "error",
    help: "PEM file with the CAs that sign these certificates; it requires --client-verify. In " +
      "client mode the default is the system's CAs.",
    parse: nonEmpty,
  },
  "client-verify-crl": {
    group: "Client certificates",
    form: "text",
    argument: "FILE",
    example: "/etc/ssl/clients-crl.pem",
    in: everywhere,
    path: true,
    help: "PEM file with a certificate revocation list (CRL) for each of these CAs.",
    parse: nonEmpty,
  },
} as const satisfies Record<string, Option>;
