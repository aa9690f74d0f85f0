/** Runs one of the public load generators and returns its output. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { environment } from "../../tests/support/commands.ts";

export type Version = "TLSv1.2" | "TLSv1.3";

/** One cipher for all, because otherwise each program would choose a different one. */
export const CIPHERS = {
  "TLSv1.3": "TLS_AES_128_GCM_SHA256",
  "TLSv1.2": "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
} as const;

/** The key exchange is X25519; TLS 1.2 needs P-256 to accept the certificate. */
export const GROUPS = "X25519:P-256";

/** Seconds after which a load generator is considered hung. */
const LIMIT = 30;

/**
 * Runs a program to completion and returns its standard output. Throws an Error with its last line
 * if it fails. `configuration` is an OpenSSL configuration file.
 */
export async function runLoad(
  program: string,
  args: readonly string[],
  configuration: string,
): Promise<string> {
  const child = spawn(program, args, {
    env: { ...environment, OPENSSL_CONF: configuration },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: LIMIT * 1000,
    killSignal: "SIGKILL",
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  const code = await new Promise((resolve, reject) => {
    child.on("error", reject).on("close", resolve);
  });
  if (code !== 0) {
    const last = (stderr || stdout).trim().split("\n").at(-1);
    throw new Error(`${program} exited with ${code ?? "a signal"}: ${last}`);
  }
  return stdout;
}

/** Writes a configuration that limits an OpenSSL client to one TLS version; returns its path. */
export function opensslConfiguration(directory: string, version: Version): string {
  const file = join(directory, `openssl-${version}.cnf`);
  writeFileSync(
    file,
    [
      `openssl_conf = init`,
      `[init]`,
      `ssl_conf = ssl`,
      `[ssl]`,
      `system_default = system`,
      `[system]`,
      // h2load sets its own MaxProtocol, but leaves this one alone.
      ...(version === "TLSv1.2" ? [`Protocol = -TLSv1.3`] : []),
      `CipherString = ${CIPHERS["TLSv1.2"]}`,
      `Ciphersuites = ${CIPHERS["TLSv1.3"]}`,
      `Groups = ${GROUPS}`,
    ].join("\n") + "\n",
  );
  return file;
}
