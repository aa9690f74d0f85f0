/** Certificates for one run, created with the openssl program. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** PEM files; all except `ca` contain a key with its certificate. */
export interface Certificates {
  /** Removed at the end of the run; tests may add files here. */
  readonly directory: string;
  /** The CA that signed all others. */
  readonly ca: string;
  /** EC P-256 for localhost, 127.0.0.1 and ::1. */
  readonly localhost: string;
  /** EC P-256 for a.example and www.a.example. */
  readonly a: string;
  /** EC P-256 for a.example as well; its subject is `a2`. */
  readonly a2: string;
  /** EC P-256 for b.example. */
  readonly b: string;
  /** RSA 2048 for localhost. */
  readonly rsa: string;
  /** EC P-256 for localhost, signed by an intermediate of `ca` that the file contains too. */
  readonly chained: string;
}

/** Creates them in a new directory. */
export function makeCertificates(): Certificates {
  const directory = mkdtempSync(join(tmpdir(), "stud-tests-"));
  const file = (name: string) => join(directory, name);
  writeFileSync(file("openssl.cnf"), "[req]\ndistinguished_name = subject\n[subject]\n");
  request(directory, "ca", ["-addext", "basicConstraints=critical,CA:TRUE"]);
  const signedBy = (
    issuer: string,
  ) => ["-CA", file(`${issuer}.crt`), "-CAkey", file(`${issuer}.key`)];
  request(directory, "between", [
    ...signedBy("ca"),
    "-addext",
    "basicConstraints=critical,CA:TRUE",
  ]);
  const leaf = (name: string, names: string, key: readonly string[] = EC, issuer = "ca") => {
    request(directory, name, [...signedBy(issuer), "-addext", `subjectAltName=${names}`], key);
    const sections = [`${name}.key`, `${name}.crt`, ...(issuer === "ca" ? [] : [`${issuer}.crt`])];
    const text = sections.map((section) => readFileSync(file(section), "utf8")).join("");
    writeFileSync(file(`${name}.pem`), text, { mode: 0o600 });
    return file(`${name}.pem`);
  };
  return {
    directory,
    ca: file("ca.crt"),
    localhost: leaf("localhost", "DNS:localhost,IP:127.0.0.1,IP:::1"),
    a: leaf("a", "DNS:a.example,DNS:www.a.example"),
    a2: leaf("a2", "DNS:a.example"),
    b: leaf("b", "DNS:b.example"),
    rsa: leaf("rsa", "DNS:localhost,IP:127.0.0.1", RSA),
    chained: leaf("chained", "DNS:localhost", EC, "between"),
  };
}

export function removeCertificates(certificates: Certificates): void {
  rmSync(certificates.directory, { recursive: true, force: true });
}

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
const RSA = ["-newkey", "rsa:2048"];

function request(directory: string, name: string, extra: string[], key: readonly string[] = EC) {
  const output = [
    "-keyout",
    join(directory, `${name}.key`),
    "-out",
    join(directory, `${name}.crt`),
  ];
  const subject = [
    "-subj",
    `/CN=${name}`,
    "-days",
    "60",
    "-config",
    join(directory, "openssl.cnf"),
  ];
  execFileSync("openssl", ["req", "-x509", "-nodes", ...key, ...output, ...subject, ...extra], {
    stdio: "pipe",
    timeout: 60_000,
  });
}
