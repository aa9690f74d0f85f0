/** Options about certificates and their OCSP responses, and the keys of pem-file blocks. */
import type { Option } from "../option.ts";
import { alpnProtocols, anything, integer, onOff, seconds, something } from "../values.ts";

const daySeconds = integer(1, 86400);

export const certificateOptions = {
  "pem-dir": {
    group: "Certificates",
    form: "text",
    argument: "DIR",
    path: true,
    default: "",
    help: "Load every PEM file of this directory too.",
    parse: anything,
  },
  "pem-dir-glob": {
    group: "Certificates",
    form: "text",
    argument: "GLOB",
    default: "",
    help: "Load only the files of --pem-dir whose names are like this, as in *.pem.",
    parse: anything,
  },
  "passphrase-file": {
    group: "Certificates",
    form: "text",
    argument: "FILE",
    path: true,
    default: "",
    help: "Lines to try as passphrases of encrypted keys; without it the terminal is asked.",
    parse: anything,
  },
  "ssl-engine": {
    group: "Certificates",
    short: "e",
    form: "text",
    argument: "NAME",
    default: "",
    help: "Use this OpenSSL engine, or auto for all.",
    parse: anything,
    needs: { need: "engines", unless: "" },
  },
  "alpn-protos": {
    group: "TLS",
    form: "list",
    argument: "LIST",
    default: "",
    help: "Protocols to choose from by ALPN, the favourite first, as in h2,http/1.1.",
    parse: alpnProtocols,
  },
  "ocsp-dir": {
    group: "OCSP stapling",
    short: "o",
    form: "text",
    argument: "DIR",
    path: true,
    empty: "value",
    help: "Keep OCSP responses here and refresh them. Default: none; in hitch's dialect " +
      "/var/lib/hitch/ where that exists.",
    parse: anything,
    needs: { need: "staples", unless: "" },
  },
  "ocsp-verify-staple": {
    group: "OCSP stapling",
    form: "flag",
    in: ["line", "file", "pem"],
    default: "off",
    help: "Verify the signature of OCSP responses.",
    parse: onOff,
    needs: { need: "staples", unless: "off" },
  },
  "ocsp-connect-tmo": {
    group: "OCSP stapling",
    form: "number",
    argument: "SECONDS",
    default: "4",
    help: "Until an OCSP responder is connected.",
    parse: seconds,
  },
  "ocsp-resp-tmo": {
    group: "OCSP stapling",
    form: "number",
    argument: "SECONDS",
    default: "10",
    help: "Until it has answered.",
    parse: seconds,
  },
  "ocsp-refresh-interval": {
    group: "OCSP stapling",
    form: "number",
    argument: "SECONDS",
    default: "1800",
    help: "Until a response that does not say when it ends is fetched again.",
    parse: daySeconds,
  },
} satisfies Record<string, Option>;

/** Keys of blocks only. */
export const blockOptions = {
  "host": {
    group: "In blocks of a configuration file",
    form: "text",
    argument: "HOST",
    in: ["frontend"],
    help: "Where the frontend listens: a host, * for every address, or a whole address but " +
      "HOST,PORT. Default: *.",
    parse: something,
  },
  "port": {
    group: "In blocks of a configuration file",
    form: "text",
    argument: "PORT",
    in: ["frontend"],
    help: "Its port, a number in quotes or a service's name.",
    parse: something,
  },
  "match-global-certs": {
    group: "In blocks of a configuration file",
    form: "flag",
    in: ["frontend"],
    help: "Look for a name in the global certificates too, if the frontend's own do not have it. " +
      "Default: on for a frontend that has none, else off.",
    parse: onOff,
  },
  "cert": {
    group: "In blocks of a configuration file",
    form: "text",
    argument: "FILE",
    in: ["pem"],
    path: true,
    help: "The certificate with its chain.",
    parse: something,
  },
  "private-key": {
    group: "In blocks of a configuration file",
    form: "text",
    argument: "FILE",
    in: ["pem"],
    path: true,
    help: "Its key. Default: it is in cert.",
    parse: something,
  },
  "ocsp-resp-file": {
    group: "In blocks of a configuration file",
    form: "text",
    argument: "FILE",
    in: ["pem"],
    path: true,
    help: "An OCSP response in DER to staple.",
    parse: something,
    needs: { need: "staples", unless: "" },
  },
} satisfies Record<string, Option>;
