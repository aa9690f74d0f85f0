/** Names that users of other programs type, and what does the same here. */
const remedies: Readonly<Record<string, string>> = {
  "address": "--frontend",
  "bind": "--frontend",
  "ca": "--client-verify-ca",
  "ca-file": "--client-verify-ca",
  "cafile": "--client-verify-ca",
  "configuration": "--config",
  "connect": "--backend",
  "crl": "--client-verify-crl",
  "debug": "--log-level=2",
  "listen": "--frontend",
  "logfile": "--log-filename",
  "min-version": "--tls-protos",
  "port": "--frontend",
  "processes": "--workers",
  "protocols": "--tls-protos",
  "redirect": "--backend",
  "server": "--backend",
  "target": "--backend",
  "threads": "--workers",
  "upstream": "--backend",
  "verbose": "--log-level=2",
  "verify": "--client-verify",
};

const CERTIFICATE = /^(cert|certificate|cert-?file|ssl-cert(ificate)?|tls-cert|pem|crt|chain)$/;
const KEY = /^(key|private-?key|key-?file|ssl-(certificate-)?key|tls-key)$/;

/** Whether this is another program's option for the file of a certificate. */
export function isForeignFile(typed: string): boolean {
  return /^cert/.test(typed) && CERTIFICATE.test(typed);
}

/** Returns what to write instead of another program's option, for the end of a sentence. */
export function foreignRemedy(typed: string): string | undefined {
  const name = typed.toLowerCase();
  if (Object.hasOwn(remedies, name)) return `use ${remedies[name]}`;
  if (CERTIFICATE.test(name)) {
    return "give the PEM file as an argument, with certificate, chain and key in it";
  }
  if (KEY.test(name)) {
    return "put the key into the PEM file of its certificate, or use private-key in a pem-file " +
      "block of a configuration file";
  }
  return undefined;
}
