/** TLS versions and ciphers. */
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { exchange, trusting } from "../support/client.ts";
import { needs } from "../support/capability.ts";
import type { Behaviour } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { runStud } from "../support/stud.ts";
import { until } from "../support/until.ts";

const AES128 = "ECDHE-ECDSA-AES128-GCM-SHA256";
const AES256 = "ECDHE-ECDSA-AES256-GCM-SHA384";
const ONLY_12: ConnectionOptions = { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" };
const ONLY_13: ConnectionOptions = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" };
const ONLY_11: ConnectionOptions = {
  minVersion: "TLSv1.1",
  maxVersion: "TLSv1.1",
  ciphers: "DEFAULT:@SECLEVEL=0",
};

export const versions: readonly Behaviour[] = [
  {
    name: "TLS 1.2 and TLS 1.3 are enabled by default, with a certificate that verifies",
    async run(context) {
      const stud = await context.stud([], { backend: (await context.echo()).port });
      const trust = trusting(context.certificates.ca);
      for (const options of [ONLY_12, ONLY_13]) {
        const answer = await exchange(stud.frontend, "hello", { ...options, ...trust });
        assert.equal(String(answer), "hello");
      }
    },
  },
  {
    name: "TLS 1.1 is disabled by default",
    async run(context) {
      const stud = await context.stud([], { backend: (await context.echo()).port });
      await assert.rejects(context.tls(stud.frontend, ONLY_11));
    },
  },
  {
    name: "TLS 1.1 can be enabled",
    run: (context) =>
      needs(context, "chooseProtocols", "--tls-protos=TLSv1.1", async (stud) => {
        const client = await context.tls(stud.frontend, ONLY_11);
        assert.equal(client.getProtocol(), "TLSv1.1");
        client.destroy();
      }),
  },
  {
    name: "--tls-protos disables the versions that it does not list",
    run: (context) =>
      needs(context, "chooseProtocols", "--tls-protos=TLSv1.2", async (stud) => {
        assert.equal(String(await exchange(stud.frontend, "hello", ONLY_12)), "hello");
        await assert.rejects(context.tls(stud.frontend, ONLY_13));
      }),
  },
  {
    name: "--ciphers disables the ciphers that it does not list",
    run: (context) =>
      needs(context, "ciphers", `--ciphers=${AES128}`, async (stud) => {
        const client = await context.tls(stud.frontend, {
          ...ONLY_12,
          ciphers: `${AES256}:${AES128}`,
        });
        assert.equal(client.getCipher().name, AES128);
        client.destroy();
        await assert.rejects(context.tls(stud.frontend, { ...ONLY_12, ciphers: AES256 }));
      }),
  },
  {
    name: "the server's cipher order applies, without --prefer-server-ciphers the client's",
    appliesTo: ({ ciphers }) => ciphers,
    async run(context) {
      const backend = (await context.echo()).port;
      for (
        const [words, cipher] of [[[], AES256], [["--prefer-server-ciphers=off"], AES128]] as const
      ) {
        const stud = await context.stud([`--ciphers=${AES256}:${AES128}`, ...words], { backend });
        const client = await context.tls(stud.frontend, {
          ...ONLY_12,
          ciphers: `${AES128}:${AES256}`,
        });
        assert.equal(client.getCipher().name, cipher);
        client.destroy();
      }
    },
  },
  {
    name:
      "cipher lists as people have them are accepted, and one warning lists what is passed over",
    async run(context) {
      const { localhost } = context.certificates;
      const { host, port } = await freeEndpoint();
      const check = (list: string) => {
        const words = ["--test", `--frontend=${host},${port}`, `--ciphers=${list}`, localhost];
        return runStud(context.target, words);
      };
      for (const [list, names] of PUBLIC_LISTS) {
        const { code, stderr } = await check(list);
        assert.equal(code, 0, `${list}: ${stderr}`);
        const warnings = stderr.split("\n").filter((line) => line.includes("--ciphers"));
        const isUnused = names[context.target.runtime];
        assert.ok(warnings.length <= 1, stderr);
        if (isUnused.length > 0) {
          assert.ok(warnings[0]?.includes(`passed over ${isUnused.join(", ")}`), stderr);
        } else if (context.target.ciphers) {
          assert.deepEqual(warnings, [], list);
        }
      }
      const nothing = ["RC4-SHA:IDEA", "NOPE", "TLS_AES_128_GCM_SHA256", "ALL:!ALL"];
      for (const list of [...nothing, "AES128-SHA:!AES128", "!aNULL"]) {
        const { code, stderr } = await check(list);
        assert.equal(code, 1, list);
        assert.match(stderr, /^stud: --ciphers[^\n]*\n/, list);
        if (context.target.ciphers) assert.match(stderr, /\(nothing is left of it[:)]/, list);
      }
    },
  },
  {
    name: "of a cipher list, what the library knows is offered",
    async run(context) {
      const backend = (await context.echo()).port;
      const stud = await context.stud([`--ciphers=${HITCH}:RC4-SHA`], { backend });
      for (const ciphers of [AES128, AES256]) {
        const client = await context.tls(stud.frontend, { ...ONLY_12, ciphers });
        assert.equal(client.getCipher().name, ciphers);
        client.destroy();
      }
      const weak = { ...ONLY_12, ciphers: "AES128-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0" };
      await assert.rejects(context.tls(stud.frontend, weak));
    },
  },
  {
    name: "a hitch configuration with names that libraries have dropped serves on each build",
    async run(context) {
      const frontend = await freeEndpoint();
      const { localhost, directory } = context.certificates;
      const config = join(mkdtempSync(join(directory, "hitch-")), "hitch.conf");
      const backend = (await context.echo()).port;
      writeFileSync(
        config,
        `frontend = { host = "${frontend.host}" port = "${frontend.port}" }
         backend = "[127.0.0.1]:${backend}"
         workers = 1  log-format = "json"  pem-file = "${localhost}"
         ciphers = "${HITCH}"  prefer-server-ciphers = on  ssl-engine = "auto"
         ecdh-curve = "X25519:prime256v1:secp521r1"
         tls-protos = SSLv3 TLSv1.0 TLSv1.1 TLSv1.2 TLSv1.3\n`,
      );
      const words = ["--compat=hitch", `--config=${config}`, ...ROOT];
      const { code, stderr } = await runStud(context.target, [...words, "--test"]);
      assert.equal(code, 0, stderr);
      for (const line of stderr.trim().split("\n")) assert.doesNotMatch(line, /error/i);
      const protocols = stderr.split("\n").filter((line) => line.includes("tls-protos"));
      assert.equal(protocols.length, 1);
      assert.match(protocols[0]!, /^hitch: \/[^ ]+: tls-protos: passed over SSLv3/);
      const options = { backend, frontend, exact: true };
      const stud = await context.launch(words, options);
      await stud.waitForLog((line) => line.event === "ready", "stud is ready");
      for (const only of [ONLY_12, ONLY_13]) {
        assert.equal(String(await exchange(frontend, "hello", only)), "hello");
      }
    },
  },
  {
    name: "--tls-protos with a gap never lowers the version of a client that has the newest",
    run: (context) =>
      needs(context, "chooseProtocols", "--tls-protos=TLSv1.0 TLSv1.2", async (stud) => {
        const old = { minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
        const client = await context.tls(stud.frontend, old);
        assert.equal(client.getProtocol(), "TLSv1.2");
        client.destroy();
        const warned = () =>
          stud.logs.filter(({ message }) => /passed over TLSv1\.0 /.test(message));
        const isBun = context.target.runtime === "bun";
        // It is logged after stud is ready.
        if (isBun) await until(() => warned().length > 0, "the warning");
        assert.equal(warned().length, isBun ? 1 : 0);
      }),
  },
  {
    name: "SSLv3 in --tls-protos is passed over, alone it is refused",
    async run(context) {
      const stud = await context.stud(["--tls-protos=SSLv3 TLSv1.2 TLSv1.3"], {
        backend: (await context.echo()).port,
      });
      const warnings = () => stud.logs.filter(({ message }) => /passed over SSLv3/.test(message));
      await until(() => warnings().length > 0, "the warning");
      for (const options of [ONLY_12, ONLY_13]) {
        assert.equal(String(await exchange(stud.frontend, "hello", options)), "hello");
      }
      assert.equal(warnings().length, 1);
      const words = ["--test", "--tls-protos=SSLv3", context.certificates.localhost];
      const { code, stderr } = await runStud(context.target, words);
      assert.equal(code, 1);
      assert.match(stderr, /^stud: --tls-protos: SSLv3 no longer exists [^\n]+\n$/);
    },
  },
];

/** hitch's dialect refuses to run workers as root. */
const ROOT = process.getuid!() === 0 ? ["--user=nobody"] : [];

const HITCH = "EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH";
const NO_NAMES: Unused = { bun: [], node: [], deno: [] };

type Unused = Readonly<Record<"bun" | "node" | "deno", readonly string[]>>;

/** Lists with the items that a build does not know. */
const PUBLIC_LISTS: readonly (readonly [list: string, unused: Unused])[] = [
  [HITCH, {
    bun: ["EDH+AESGCM", "AES256+EDH"],
    node: [],
    deno: ["EDH+AESGCM", "AES256+EDH"],
  }],
  ["EECDH+AESGCM:EDH+AESGCM", { bun: ["EDH+AESGCM"], node: [], deno: ["EDH+AESGCM"] }],
  ["HIGH:!aNULL:!MD5", NO_NAMES],
  ["HIGH:!aNULL:!eNULL:!EXPORT:!DES:!MD5:!PSK:!RC4:!kEDH", NO_NAMES],
  ["DEFAULT@SECLEVEL=1", { bun: ["@SECLEVEL=1"], node: [], deno: [] }],
  ["ECDHE+AESGCM ECDHE+CHACHA20,DHE+AESGCM;HIGH:@STRENGTH", {
    bun: ["DHE+AESGCM"],
    node: [],
    deno: ["DHE+AESGCM"],
  }],
  ["PROFILE=SYSTEM", { bun: ["PROFILE=SYSTEM"], node: ["PROFILE=SYSTEM"], deno: [] }],
  ["HIGH:TLS_AES_128_GCM_SHA256:CAMELLIA:!FOO", {
    bun: ["CAMELLIA (unknown to BoringSSL)", "TLS_AES_128_GCM_SHA256"],
    node: ["TLS_AES_128_GCM_SHA256"],
    deno: ["TLS_AES_128_GCM_SHA256", "CAMELLIA", "!FOO"],
  }],
];
