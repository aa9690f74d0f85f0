/** `stud check`: what it finds out about this build's own service, and its command line. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { Behaviour, Context } from "../support/context.ts";
import { Chains } from "../support/chains.ts";
import { type Endpoint, endpointText, freeEndpoint } from "../support/endpoints.ts";
import { runStud } from "../support/stud.ts";

/** A chain of a CA, and an HTTP server that answers after the client's end. */
async function prepare(context: Context) {
  const chains = new Chains((cleanUp) => context.after(cleanUp));
  chains.issue("root", { ca: true });
  chains.issue("middle", { issuer: "root", ca: true });
  chains.issue("good.test", { issuer: "middle" });
  const backend = await context.backend((socket) => {
    socket.resume().on("end", () => socket.end("HTTP/1.1 204 No Content\r\n\r\n"));
  });
  const check = (...words: readonly string[]) =>
    runStud(context.target, ["check", `--ca=${chains.bundle("root")}`, "--timeout=30", ...words]);
  return { chains, backend, check };
}

/** Listens on a Unix socket, which not every build can, and passes the bytes to a frontend and back. */
async function relay(context: Context, path: string, { host, port }: Endpoint): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const onward = connect({ host, port, allowHalfOpen: true });
    socket.on("error", () => onward.destroy()).pipe(onward);
    onward.on("error", () => socket.destroy()).pipe(socket);
  });
  await once(server.listen(path), "listening");
  context.after(() => server.close());
}

export const check: readonly Behaviour[] = [
  {
    name: "stud check examines a stud completely, over TCP and over a Unix socket",
    needs: ["openssl"],
    async run(context) {
      const { chains, backend, check } = await prepare(context);
      const pem = chains.pem("good.test", "middle");
      const { frontend } = await context.stud(["--alpn-protos=h2,http/1.1", pem], {
        backend: backend.port,
      });
      const socket = chains.file("tls.sock");
      await relay(context, socket, frontend);
      const name = "--servername=good.test";
      const whole = await check("--json", name, `https://${endpointText(frontend)}/path`);
      assert.equal(whole.code, 0, whole.stdout + whole.stderr);
      const found = JSON.parse(whole.stdout);
      assert.equal(found.result, "ok", JSON.stringify(found.verdicts));
      assert.deepEqual(found.certificates.map((each: { role: string }) => each.role), [
        "leaf",
        "intermediate",
      ]);
      assert.deepEqual(found.versions, {
        ...{ "TLS 1.3": true, "TLS 1.2": true, "TLS 1.1": false, "TLS 1.0": false },
        "SSL 3.0": false,
      });
      assert.equal(found.modernGroup, "X25519MLKEM768");
      assert.equal(found.handshake.alpn, "h2");
      assert.equal(found.resumption["TLS 1.3"].by, "ticket");
      for (const version of ["TLS 1.3", "TLS 1.2"]) {
        const { tries, resumed } = found.resumption[version];
        assert.ok(tries > 0 && tries === resumed, version);
      }
      assert.equal(found.end.isAnswer, true);
      assert.ok(found.end.bytes > 0);
      assert.equal(found.end.end, "close_notify");
      assert.deepEqual(found.unknownName, { sameCertificate: true });
      assert.ok(found.milliseconds.handshake > 0);
      const local = await check(name, socket);
      assert.equal(local.code, 0, local.stdout + local.stderr);
      assert.match(local.stdout, /^unix:\S+ \(\S+\): 0 problems, 0 warnings\n/);
      assert.match(local.stdout, /^ {2}ok {7}group {7}X25519MLKEM768, post-quantum$/m);
      const late = await check(name, "--certificate-warning-days=100", endpointText(frontend));
      assert.equal(late.code, 0);
      assert.match(
        late.stdout,
        /^ {2}warning {2}validity .* ends in 89 days.*\n +remedy: +renew it/m,
      );
      const strict = ["--strict", "--certificate-warning-days=100"];
      assert.equal((await check(name, ...strict, endpointText(frontend))).code, 1);
    },
  },
  {
    name:
      "stud check exits with 1 for a problem, and text from the server cannot control a terminal",
    needs: ["openssl"],
    async run(context) {
      const { chains, backend, check } = await prepare(context);
      const subject = "\u001b[31mred";
      chains.issue("odd.test", { issuer: "middle", subject });
      const { frontend } = await context.stud([chains.pem("odd.test")], { backend: backend.port });
      const { code, stdout } = await check("--servername=good.test", endpointText(frontend));
      assert.equal(code, 1);
      assert.match(
        stdout,
        /^ {2}problem {2}names {7}it is not for good\.test, only for odd\.test\n/m,
      );
      assert.match(
        stdout,
        /^ {2}problem {2}chain .* is missing.*CN=middle was not sent\n +remedy: /m,
      );
      assert.ok(stdout.includes("CN=\\x1b[31mred"), stdout);
      const json = await check("--json", "--servername=odd.test", endpointText(frontend));
      assert.equal(json.code, 1);
      assert.equal(JSON.parse(json.stdout).certificates[0].subject, `CN=${subject}`);
      assert.ok(!(stdout + json.stdout).includes("\u001b"));
    },
  },
  {
    name: "stud check names a server name that is refused",
    needs: ["openssl"],
    appliesTo: ({ sniAbort }) => sniAbort,
    async run(context) {
      const { chains, backend, check } = await prepare(context);
      const words = ["--sni-nomatch-abort", chains.pem("good.test", "middle")];
      const { frontend } = await context.stud(words, { backend: backend.port });
      const bad = await check("--servername=bad.test", endpointText(frontend));
      assert.equal(bad.code, 1);
      assert.match(bad.stdout, /problem {2}SNI .* refuses the name bad\.test .* unrecognized_name/);
      const good = await check("--servername=good.test", endpointText(frontend));
      assert.equal(good.code, 0, good.stdout);
      assert.match(good.stdout, /SNI .* unknown name gets the alert unrecognized_name/);
    },
  },
  {
    name: "stud check exits with 2 and one line if it cannot check, or for a wrong command line",
    async run(context) {
      const closed = endpointText(await freeEndpoint());
      const ssh = await context.backend((socket) => socket.write("SSH-2.0-x\r\n"));
      const silent = await context.backend(() => {});
      const { directory } = context.certificates;
      const empty = `${directory}/check-empty.pem`;
      writeFileSync(empty, "");
      const cases: readonly (readonly [string[], RegExp])[] = [
        [[closed], /^stud: check: \S+: the connection was refused: nothing listens there; check /],
        [[`127.0.0.1:${ssh.port}`], /the server does not speak TLS; it sent SSH; check the port; /],
        [["--timeout=0.2", `127.0.0.1:${silent.port}`], /sent nothing after 0\.2 s; check /],
        [["nobody.invalid"], /cannot resolve nobody\.invalid: .*; check the name/],
        [[`${directory}/none.sock`], /there is no such socket; check /],
        [["http://a/"], /"http:\/\/a\/" is no https:\/\/ URL; use HOST:PORT/],
        [[`--ca=${empty}`, "a"], /^stud: check: --ca: \S+: no CA certificate/],
      ];
      for (const [words, pattern] of cases) {
        const { code, stdout, stderr } = await runStud(context.target, ["check", ...words]);
        assert.equal(code, 2, `${words}: ${stdout}${stderr}`);
        assert.match(stderr, /^stud: [^\n]+\n$/, words.join(" "));
        assert.match(stderr, pattern);
        assert.equal(stdout, "");
      }
      const { code, stdout } = await runStud(context.target, ["check", "--json", closed]);
      assert.equal(code, 2);
      const { result, error } = JSON.parse(stdout);
      assert.deepEqual([result, error.kind], ["failed", "unreachable"]);
    },
  },
];
