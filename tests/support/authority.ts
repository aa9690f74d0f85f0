/** Client certificates and revocation lists, made with the openssl program. */
import { after } from "node:test";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Certificate } from "../../src/runtime/tls.ts";

/** A certificate with its key, in memory and in one file. */
export interface Issued extends Certificate {
  readonly file: string;
  readonly der: Uint8Array;
}

/** A certificate authority in its own directory, which is removed after the tests. */
export class Authority {
  /** PEM. */
  readonly ca: string;
  /** Tests may add files here. */
  readonly directory = mkdtempSync(join(tmpdir(), "stud-authority-"));

  constructor(name: string) {
    after(() => rmSync(this.directory, { recursive: true, force: true }));
    writeFileSync(this.file("openssl.cnf"), configuration(this.directory));
    writeFileSync(this.file("index.txt"), "");
    writeFileSync(this.file("crlnumber"), "01\n");
    this.request("ca", name, EC, ["-addext", "keyUsage=keyCertSign,cRLSign"]);
    this.ca = this.read("ca.pem");
  }

  /** Issues a certificate with a name as its subject. `names` is a subjectAltName of OpenSSL. */
  issue(name: string, { names = `DNS:${name}`, rsa = false } = {}): Issued {
    const ca = ["-CA", this.file("ca.pem"), "-CAkey", this.file("ca.key")];
    this.request(name, name, rsa ? RSA : EC, [...ca, "-addext", `subjectAltName=${names}`]);
    return this.issued(name);
  }

  /** Like {@link issue}, but it has expired. */
  issueExpired(name: string): Issued {
    const subject = ["-subj", `/CN=${name}`, "-config", this.file("openssl.cnf")];
    const [key, csr] = [this.file(`${name}.key`), this.file(`${name}.csr`)];
    openssl(["req", "-new", "-nodes", ...EC, "-keyout", key, "-out", csr, ...subject]);
    const dates = ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-notext"];
    openssl([
      ...this.authority(),
      "-batch",
      "-in",
      csr,
      "-out",
      this.file(`${name}.pem`),
      ...dates,
    ]);
    return this.issued(name);
  }

  /** Like {@link issue}, but self-signed. */
  selfSigned(name: string): Issued {
    this.request(name, name, EC, []);
    return this.issued(name);
  }

  /** Returns a new CRL, PEM, with all certificates revoked so far and these. */
  revoke(...issued: readonly Issued[]): string {
    const ca = this.authority();
    for (const { file } of issued) openssl([...ca, "-revoke", file]);
    openssl([...ca, "-gencrl", "-out", this.file("ca.crl")]);
    return this.read("ca.crl");
  }

  private authority(): string[] {
    const config = ["-config", this.file("openssl.cnf")];
    return ["ca", ...config, "-cert", this.file("ca.pem"), "-keyfile", this.file("ca.key")];
  }

  private issued(name: string): Issued {
    const chain = this.read(`${name}.pem`);
    const key = this.read(`${name}.key`);
    const file = this.file(`${name}.both`);
    writeFileSync(file, key + chain);
    return { chain, key, file, der: new X509Certificate(chain).raw };
  }

  private request(file: string, name: string, key: readonly string[], more: readonly string[]) {
    const output = ["-keyout", this.file(`${file}.key`), "-out", this.file(`${file}.pem`)];
    const subject = ["-subj", `/CN=${name}`, "-days", "60", "-config", this.file("openssl.cnf")];
    openssl(["req", "-x509", "-nodes", ...key, ...output, ...subject, ...more]);
  }

  private file(name: string): string {
    return join(this.directory, name);
  }

  private read(name: string): string {
    return readFileSync(this.file(name), "utf8");
  }
}

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
const RSA = ["-newkey", "rsa:2048"];

function configuration(directory: string): string {
  return `[req]
distinguished_name = subject
[subject]
[ca]
default_ca = authority
[authority]
database = ${directory}/index.txt
crlnumber = ${directory}/crlnumber
default_md = sha256
default_crl_days = 2
new_certs_dir = ${directory}
rand_serial = yes
policy = any
[any]
commonName = supplied
`;
}

function openssl(options: readonly string[]): void {
  execFileSync("openssl", options, { stdio: "pipe", timeout: 60_000 });
}
