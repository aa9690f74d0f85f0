/** What is in no log and in no place where another user could look. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { ending, openTcp, openTls } from "../support/client.ts";
import type { Behaviour } from "../support/context.ts";
import { runStud } from "../support/stud.ts";
import { until } from "../support/until.ts";

/** Found nowhere unless somebody writes down what he only was to pass on. */
const PAYLOAD = "a-payload-that-nobody-else-has";

export const secrets: readonly Behaviour[] = [
  {
    name: "nothing of keys or payload is ever logged, whatever goes well or wrong",
    async run(context) {
      const { ca, localhost } = context.certificates;
      const verify = context.target.verifyClients
        ? ["--client-verify=optional", `--client-verify-ca=${ca}`]
        : [];
      const backend = await context.backend((socket) =>
        socket.on("data", (bytes) => {
          if (bytes.includes("reset")) socket.resetAndDestroy();
          else socket.write(bytes);
        })
      );
      const words = ["--log-level=2", "--write-proxy-v2", ...verify, localhost];
      const stud = await context.stud(words, { backend: backend.port });
      const pem = readFileSync(localhost);
      for (
        const identity of [{}, ...context.target.verifyClients ? [{ cert: pem, key: pem }] : []]
      ) {
        const client = await openTls(stud.frontend, identity);
        client.write(PAYLOAD);
        await until(() => String(client.read() ?? "").includes(PAYLOAD), "the echo");
        // The backend's reset with the client's bytes under way.
        client.write(`${PAYLOAD} reset`);
        await ending(client);
        client.destroy();
      }
      // Payload where TLS should be.
      const plain = await openTcp(stud.frontend);
      plain.write(`GET /${PAYLOAD} HTTP/1.1\r\n\r\n`);
      await ending(plain);
      plain.destroy();
      await until(() => stud.failures().length >= 2, "the failures are told");
      await stud.stop();
      assert.ok(stud.stderr.includes("connection-established"), "it was told in detail");
      const output = stud.stderr + stud.stdout;
      assert.ok(!output.includes(PAYLOAD), "payload");
      for (const line of keyLines(String(pem))) assert.ok(!output.includes(line), "key");
    },
  },
  {
    name: "a key that cannot be used is not shown in the error about it",
    async run(context) {
      const { localhost, b, directory } = context.certificates;
      const key = String(readFileSync(localhost)).split("-----BEGIN CERTIFICATE-----")[0]!;
      const { raw } = new X509Certificate(readFileSync(b));
      const file = `${directory}/mismatch.pem`;
      const body = raw.toString("base64").replaceAll(/.{64}/g, "$&\n");
      writeFileSync(
        file,
        `${key}-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`,
      );
      const { code, stderr } = await runStud(context.target, [file]);
      assert.equal(code, 1);
      assert.ok(stderr.includes(file), stderr);
      for (const line of keyLines(key)) assert.ok(!stderr.includes(line), "key");
    },
  },
];

/** The base64 of a private key, which is the first section of a file. */
function keyLines(pem: string): string[] {
  const lines = pem.split("\n");
  const from = lines.findIndex((line) => line.includes("PRIVATE KEY"));
  const to = lines.findIndex((line) => line.startsWith("-----END"));
  const found = lines.slice(from + 1, to);
  assert.ok(found.length >= 2, "a key");
  return found;
}
