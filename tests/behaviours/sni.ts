/** Which of several certificates a client receives. */
import assert from "node:assert/strict";
import { exchange, trusting } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { until } from "../support/until.ts";
import { opensslOutput } from "../support/visits.ts";

export const sni: readonly Behaviour[] = [
  {
    name: "the certificate with the requested name is served",
    run: (context) =>
      serves(context, ["a", "b", "localhost"], [["a.example", "a"], ["b.example", "b"]]),
  },
  {
    name: "all names of a certificate match",
    run: (context) => serves(context, ["a", "localhost"], [["www.a.example", "a"]]),
  },
  {
    name: "names are matched without regard to case",
    run: (context) => serves(context, ["a", "b", "localhost"], [["A.eXaMpLe", "a"]]),
  },
  {
    name: "the first listed of two certificates for one name is served",
    run: (context) => serves(context, ["a2", "a", "b"], [["a.example", "a2"]]),
  },
  {
    name: "the last certificate is the default for unknown names",
    run: (context) =>
      serves(context, ["a", "localhost", "b"], [["other.example", "b"], ["x.a.example", "b"]]),
  },
  {
    name: "a client without SNI receives the default",
    run: (context) => serves(context, ["a", "localhost", "b"], [["", "b"]]),
  },
  {
    name: "a single certificate is served for every name",
    run: (context) =>
      serves(context, ["rsa"], [["localhost", "rsa"], ["other.example", "rsa"], ["", "rsa"]]),
  },
  {
    name:
      "a client with a server name of any form is served; rustls refuses some, and the log says why",
    needs: ["openssl"],
    async run(context) {
      const { a, localhost } = context.certificates;
      for (const files of [[localhost], [a, localhost]]) {
        const stud = await context.stud(["-n", "1", ...files], {
          backend: (await context.backend((socket) => socket.end("welcome"))).port,
        });
        const visit = (name: string) => opensslOutput(stud.frontend, "-servername", name);
        for (const name of ["localhost.", "my_host", "127.0.0.1", "::1", "LOCALHOST", "foo.0x1"]) {
          assert.match(await visit(name), /welcome/, name);
        }
        const odd = ["localhost:443", "foo.1", "123", "a..b", "-a.b", `${"x".repeat(64)}.com`];
        for (const name of odd) {
          const said = await visit(name);
          if (context.target.runtime !== "deno") assert.match(said, /welcome/, name);
          else assert.match(said, /alert illegal parameter/, name);
        }
        if (context.target.runtime !== "deno") continue;
        await until(() => stud.failures().length === odd.length, "the failures are logged");
        for (const { event, message } of stud.logs) {
          if (event === "connection-failed") {
            assert.match(message, /\(SNI\) that is not a DNS name/);
          }
        }
      }
    },
  },
  {
    name: "the chain in the file is sent, so that a client with only the root can verify",
    async run(context) {
      const { ca, chained, a } = context.certificates;
      for (const files of [[chained], [a, chained]]) {
        const stud = await context.stud(files, { backend: (await context.echo()).port });
        assert.equal(String(await exchange(stud.frontend, "hello", trusting(ca))), "hello");
      }
    },
  },
];

type Pem = "a" | "a2" | "b" | "localhost" | "rsa";

async function serves(
  context: Context,
  pems: readonly Pem[],
  expected: readonly (readonly [name: string, subject: Pem])[],
): Promise<void> {
  const files = pems.map((name) => context.certificates[name]);
  const stud = await context.stud(files, { backend: (await context.echo()).port });
  for (const [name, subject] of expected) {
    const client = await context.tls(stud.frontend, { servername: name });
    assert.equal(client.getPeerCertificate().subject.CN, subject, `for ${name || "no name"}`);
  }
}
