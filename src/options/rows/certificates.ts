/** Options for certificates and their OCSP responses, and the keys of blocks. */
import { permitsEngine } from "../fixed_lists.ts";
import type { Option } from "../option.ts";
import { alpnProtocols } from "../tls_values.ts";
import { anyText, integer, nonEmpty, onOff, seconds } from "../values.ts";

const daySeconds = integer(1, 86400);

export const certificateOptions = {
  "pem-dir": {
    group: "Certificates",
    form: "text",
    argument: "DIR",
    path: true,
    default: "",
    help: "Also load every PEM file in this directory.",
    parse: anyText,
  },
  "pem-dir-glob": {
    group: "Certificates",
    form: "text",
    argument: "GLOB",
    default: "",
    help: "Load only the files in --pem-dir whose names match this pattern, as in *.pem.",
    parse: anyText,
  },
  "passphrase-file": {
    config: { key: "passphraseFile", readers: ["master"] },
    group: "Certificates",
    form: "text",
    argument: "FILE",
    path: true,
    default: "",
    help: "Passphrases to try on encrypted keys, one per line; without this file, stud prompts " +
      "on the terminal.",
    parse: anyText,
  },
  "certificate-warning-days": {
    config: { key: "certificateWarningDays", readers: ["master"] },
    group: "Certificates",
    form: "number",
    argument: "N",
    default: "21",
    help:
      "Warn of a certificate that ends in less than this number of days, also of an intermediate " +
      "one that ends before it: at start, after each reload and once a day; 0 means never.",
    parse: integer(0, 3650),
  },
  "ssl-engine": {
    config: { key: "engine", readers: ["master", "worker"] },
    group: "Certificates",
    short: "e",
    form: "text",
    argument: "NAME",
    default: "",
    help: "OpenSSL engine to use; auto uses all.",
    parse: anyText,
    needs: { need: "engines", unless: "", permits: permitsEngine },
  },
  "alpn-protos": {
    config: { key: "alpn", readers: ["master"] },
    group: "TLS",
    form: "list",
    argument: "LIST",
    default: "",
    help: "Protocols to negotiate by ALPN, most preferred first, as in h2,http/1.1.",
    parse: alpnProtocols,
  },
  "ocsp-dir": {
    group: "OCSP stapling",
    short: "o",
    form: "text",
    argument: "DIR",
    example: "/var/lib/stud",
    path: true,
    empty: "value",
    help: "Keep OCSP responses in this directory and refresh them. Default: none; in hitch's " +
      "dialect /var/lib/hitch/ if it exists.",
    parse: anyText,
    needs: { need: "staples", unless: "" },
  },
  "ocsp-verify-staple": {
    config: { key: "ocsp.verify", readers: ["master"] },
    group: "OCSP stapling",
    form: "flag",
    in: ["line", "file", "pem"],
    default: "off",
    help: "Verify the signatures of OCSP responses.",
    parse: onOff,
    needs: { need: "staples", unless: "off" },
  },
  "ocsp-connect-tmo": {
    config: { key: "ocsp.connectTimeout", readers: ["master"] },
    group: "OCSP stapling",
    form: "number",
    argument: "SECONDS",
    default: "4",
    help: "Time limit for connecting to an OCSP responder.",
    parse: seconds,
  },
  "ocsp-resp-tmo": {
    config: { key: "ocsp.responseTimeout", readers: ["master"] },
    group: "OCSP stapling",
    form: "number",
    argument: "SECONDS",
    default: "10",
    help: "Time limit for an OCSP responder's answer.",
    parse: seconds,
  },
  "ocsp-refresh-interval": {
    config: { key: "ocsp.refreshInterval", readers: ["master"] },
    group: "OCSP stapling",
    form: "number",
    argument: "SECONDS",
    default: "1800",
    help: "Refresh interval for OCSP responses that do not say when they expire.",
    parse: daySeconds,
  },
} as const satisfies Record<string, Option>;

/** Keys that are allowed in blocks only. */
export const blockOptions = {
  "host": {
    group: "In blocks of a configuration file",
    form: "text",
    argument: "HOST",
    in: ["frontend"],
    help: "Where the frontend listens: a host, * for every address, or any address form except " +
      "HOST,PORT. Default: *.",
    parse: nonEmpty,
  },
  "port": {
    group: "In blocks of a configuration file",
    form: "text",
    argument: "PORT",
    in: ["frontend"],
    help: "Port of the frontend: a number in quotes or a service name.",
    parse: nonEmpty,
  },
  "match-global-certs": {
    group: "In blocks of a configuration file",
    form: "flag",
    in: ["frontend"],
    help: "Also search the global certificates for a server name that the frontend's own lack. " +
      "Default: on for a frontend without certificates, else off.",
    parse: onOff,
  },
  "cert": {
    group: "In blocks of a configuration file",
    form: "text",
    argument: "FILE",
    in: ["pem"],
    path: true,
    help: "Certificate with its chain.",
    parse: nonEmpty,
  },
  "private-key": {
    group: "In blocks of a configuration file",
    form: "text",
    argument: "FILE",
    in: ["pem"],
    path: true,
    help: "Private key. Default: the key in cert.",
    parse: nonEmpty,
  },
  "ocsp-resp-file": {
    group: "In blocks of a configuration file",
    form: "text",
    argument: "FILE",
    in: ["pem"],
    path: true,
    help: "OCSP response to staple, in DER.",
    parse: nonEmpty,
    needs: { need: "staples", unless: "" },
  },
} as const satisfies Record<string, Option>;
