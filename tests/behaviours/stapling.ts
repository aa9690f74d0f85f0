/** Stapled OCSP responses, from files and from responders. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { refuses } from "../support/capability.ts";
import { run } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, endpointText, freeEndpoint } from "../support/endpoints.ts";
import {
  type Answer,
  answer,
  bodyOf,
  chain,
  file,
  makeCertificate,
  opensslRequest,
  serveHttp,
} from "../support/ocsp.ts";
import { helperOf, isAlive, userOf } from "../support/processes.ts";
import { runStud, type Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

const STAPLED = /OCSP Response Status: successful/;
const NOBODY = 65534;

export const stapling: readonly Behaviour[] = [
  {
    name: "--ocsp-dir and ocsp-resp-file are refused by builds that cannot staple",
    appliesTo: ({ staples }) => !staples,
    async run(context) {
      await refuses(context, "staples", [`--ocsp-dir=${context.certificates.directory}`]);
      const config = join(mkdtempSync(join(context.certificates.directory, "ocsp-")), "conf");
      const pem = `cert = "${context.certificates.a}" ocsp-resp-file = "/nonexistent"`;
      writeFileSync(config, `pem-file = { ${pem} }\n`);
      const { code, stderr } = await runStud(context.target, [`--config=${config}`]);
      assert.equal(code, 1);
      assert.match(stderr, /ocsp-resp-file[^\n]*Node/);
    },
  },
  {
    name: "every worker staples ocsp-resp-file for clients that request it",
    needs: ["openssl"],
    appliesTo: ({ staples }) => staples,
    async run(context) {
      const { pem, response } = certified(context);
      const { frontend } = await stapled(context, pem, { response, workers: 2 });
      for (const version of ["-tls1_2", "-tls1_3"]) {
        for (let i = 0; i < 6; i++) assert.match(await status(frontend, version), STAPLED);
      }
      const silent = await run("openssl", ["s_client", "-connect", endpointText(frontend)]);
      assert.doesNotMatch(silent.stdout, STAPLED);
    },
  },
  {
    name: "a response for another certificate, or garbage, is refused with its file name",
    appliesTo: ({ staples }) => staples,
    async run(context) {
      const { pem } = certified(context);
      const other = certified(context);
      const garbage = `${other.response}.garbage`;
      writeFileSync(garbage, "roses are red");
      for (const response of [other.response, garbage]) {
        const config = configuration(context, pem, await freeEndpoint(), { response });
        const { code, stderr } = await runStud(context.target, [`--config=${config}`]);
        assert.equal(code, 1);
        assert.ok(stderr.includes(response), stderr);
      }
    },
  },
  {
    name: "a response in the cache directory under hitch's name is stapled",
    needs: ["openssl"],
    appliesTo: ({ staples }) => staples,
    async run(context) {
      const { pem, response } = certified(context);
      const cache = open(mkdtempSync(join(context.certificates.directory, "cache-")));
      copyFileSync(response, join(cache, createHash("md5").update(pem).digest("hex")));
      const { frontend } = await stapled(context, pem, { cache });
      await until(async () => STAPLED.test(await status(frontend)), "the staple");
    },
  },
  {
    name: "a response is fetched from the certificate's responder, stapled and saved",
    needs: ["openssl"],
    appliesTo: ({ staples }) => staples,
    fromSource: true,
    async run(context) {
      const serial = nextSerial();
      const responder = await serveHttp(async (incoming, outgoing) => {
        outgoing.end(answer(await bodyOf(incoming), serial, { ca: AUTHORITY, signer: AUTHORITY }));
      });
      const { pem } = certified(context, { serial, responder });
      const cache = open(mkdtempSync(join(context.certificates.directory, "cache-")));
      const isRoot = process.getuid!() === 0;
      const { frontend, stud } = await stapled(context, pem, {
        cache,
        more: isRoot ? 'user = "nobody"' : "",
      });
      await until(async () => STAPLED.test(await status(frontend)), "the staple");
      await until(() => readdirSync(cache).length === 1, "the saved response");
      const helper = helperOf(stud.pid, "@ocsp");
      assert.ok(helper, "a separate process fetches");
      if (isRoot) assert.equal(userOf(helper), NOBODY);
      await stud.stop();
      assert.ok(!isAlive(helper));
    },
  },
  {
    name: "connections that waited for a worker's successor get the staple",
    needs: ["openssl"],
    appliesTo: ({ staples }) => staples,
    async run(context) {
      const { pem, response } = certified(context);
      const { frontend, stud } = await stapled(context, pem, { response });
      for (let crash = 0; crash < 3; crash++) {
        await until(() => stud.workers().length === 1, "a worker");
        process.kill(stud.worker(), "SIGKILL");
        assert.match(await status(frontend), STAPLED);
      }
    },
  },
  {
    name: "a reload keeps the staples of unchanged certificates, in place and in new workers",
    needs: ["openssl"],
    appliesTo: ({ staples }) => staples,
    waits: true,
    async run(context) {
      const { pem, response } = certified(context);
      const cache = open(mkdtempSync(join(context.certificates.directory, "cache-")));
      copyFileSync(response, join(cache, createHash("md5").update(pem).digest("hex")));
      const { frontend, stud, config } = await stapled(context, pem, { cache });
      await until(async () => STAPLED.test(await status(frontend)), "the staple");
      const [worker] = stud.workers();
      const first = `pem-file = "${context.certificates.a}"\n`;
      const text = readFileSync(config, "utf8");
      for (const [count, workers] of [[1, 1], [2, 2]] as const) {
        // Its position has changed.
        writeFileSync(config, first + text.replace("workers = 1", `workers = ${workers}`));
        stud.signal("SIGHUP");
        await until(
          () => stud.logs.filter(({ event }) => event === "reloaded").length === count,
          "the reload",
        );
        assert.match(await status(frontend), STAPLED);
        assert.doesNotMatch(await status(frontend, "-servername", "a.example"), STAPLED);
        if (count === 1) assert.ok(stud.workers().includes(worker!), "the worker stays");
        else await until(() => !stud.workers().includes(worker!), "the worker exits");
      }
    },
  },
  {
    name: "SIGHUP loads a replaced response file",
    needs: ["openssl"],
    appliesTo: ({ staples }) => staples,
    async run(context) {
      const { pem, response, again } = certified(context);
      const { frontend, stud } = await stapled(context, pem, { response });
      const before = nextUpdate(await status(frontend));
      again({ days: 3 });
      stud.signal("SIGHUP");
      await until(async () => nextUpdate(await status(frontend)) !== before, "the new response");
    },
  },
];

/** Created once for all behaviours; its certificates have distinct serial numbers. */
const AUTHORITY = "stapling-ca";
let lastSerial = 0x1000;
let hasAuthority = false;

function nextSerial(): number {
  return ++lastSerial;
}

/** A file with a certificate and its issuer, and a file with a response for it. */
function certified(
  context: Context,
  { serial = nextSerial(), responder }: { serial?: number; responder?: string } = {},
) {
  if (!hasAuthority) makeCertificate(AUTHORITY);
  hasAuthority = true;
  const name = `stapled-${serial}`;
  const extensions = responder ? [`authorityInfoAccess=OCSP;URI:${responder}/`] : [];
  makeCertificate(name, { issuer: AUTHORITY, serial, extensions });
  const directory = mkdtempSync(join(context.certificates.directory, "stapled-"));
  const pem = join(directory, "site.pem");
  writeFileSync(pem, `${readFileSync(file(`${name}.key`))}${chain(name, AUTHORITY)}`);
  const response = join(directory, "response.der");
  const again = (how: Answer) => {
    const request = opensslRequest([name], AUTHORITY);
    writeFileSync(response, answer(request, serial, { ca: AUTHORITY, signer: AUTHORITY, ...how }));
  };
  again({});
  return { pem, response, again };
}

interface Wanted {
  readonly response?: string;
  readonly cache?: string;
  readonly workers?: number;
  readonly more?: string;
}

function configuration(
  context: Context,
  pem: string,
  frontend: Endpoint,
  { response, cache = "", workers = 1, more = "" }: Wanted,
): string {
  const config = join(mkdtempSync(join(context.certificates.directory, "ocsp-")), "stud.conf");
  const block = `cert = "${pem}"` + (response ? ` ocsp-resp-file = "${response}"` : "");
  writeFileSync(
    config,
    `frontend = "[${frontend.host}]:${frontend.port}"
     pem-file = { ${block} }
     ocsp-dir = "${cache}"
     workers = ${workers}
     log-format = "json"
     ${more}\n`,
  );
  return config;
}

async function stapled(
  context: Context,
  pem: string,
  wanted: Wanted,
): Promise<{ frontend: Endpoint; stud: Stud; config: string }> {
  const frontend = await freeEndpoint();
  const config = configuration(context, pem, frontend, wanted);
  const options = { backend: 1, frontend, exact: true };
  const stud = await context.launch([`--config=${config}`], options);
  await stud.waitForLog((line) => line.event === "ready", "stud is ready");
  stud.workers();
  return { frontend, stud, config };
}

/** What openssl prints for a client that requests the certificate's status. */
async function status(frontend: Endpoint, ...words: readonly string[]): Promise<string> {
  const where = ["-connect", endpointText(frontend), "-servername", "localhost"];
  return (await run("openssl", ["s_client", "-status", ...where, ...words])).stdout;
}

function nextUpdate(output: string): string | undefined {
  return /Next Update: (.*)/.exec(output)?.[1];
}

/** Writable for other users. */
function open(directory: string): string {
  chmodSync(join(directory, ".."), 0o755);
  chmodSync(directory, 0o777);
  return directory;
}
