/** `--watch`: changed certificates are served without a signal. */
import assert from "node:assert/strict";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Behaviour, Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import type { Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

export const watch: readonly Behaviour[] = [
  {
    name: "a changed certificate is served without a signal, and the log says why",
    waits: true,
    async run(context) {
      const { stud, directory, serves } = await watching(context, ["site.pem"]);
      assert.equal(await serves("a.example"), "a");
      copyFileSync(context.certificates.a2, join(directory, "site.pem"));
      await until(() => events(stud, "reloaded").length === 1, "the reload");
      await until(async () => await serves("a.example") === "a2", "the new certificate");
      const [reloading, ...others] = events(stud, "reloading");
      assert.equal(reloading!.cause, "certificate files have changed");
      assert.deepEqual(others, []);
    },
  },
  {
    name: "a broken certificate is logged once, and the old one is served until it is fixed",
    waits: true,
    async run(context) {
      const { stud, directory, serves } = await watching(context, ["site.pem"]);
      const pem = join(directory, "site.pem");
      writeFileSync(pem, "roses are red\n");
      await until(() => events(stud, "reload-failed").length === 1, "the failure is logged");
      assert.ok(events(stud, "reload-failed")[0]!.message.includes(pem));
      assert.equal(await serves("a.example"), "a");
      copyFileSync(context.certificates.a2, pem);
      await until(() => events(stud, "reloaded").length === 1, "the reload");
      assert.equal(events(stud, "reload-failed").length, 1);
      await until(async () => await serves("a.example") === "a2", "the new certificate");
    },
  },
  {
    name: "a certificate and its key that are replaced one after the other are loaded together",
    waits: true,
    async run(context) {
      const { stud, directory, serves } = await watching(context, [], (directory) => {
        const { certificate, key: ofIt } = parts(context.certificates.a);
        writeFileSync(join(directory, "site.crt"), certificate);
        writeFileSync(join(directory, "site.key"), ofIt);
        const [cert, key] = ["site.crt", "site.key"].map((name) => join(directory, name));
        return `pem-file = { cert = "${cert}" private-key = "${key}" }`;
      });
      // For longer than two polls, so that some of them see one file changed without the other.
      const began = performance.now();
      while (performance.now() - began < 5000) {
        for (const from of ["a", "a2"] as const) {
          const { certificate, key } = parts(context.certificates[from]);
          writeFileSync(join(directory, "site.crt"), certificate);
          assert.equal(await serves("a.example"), "a");
          writeFileSync(join(directory, "site.key"), key);
          assert.equal(await serves("a.example"), "a");
          await pause(20);
        }
      }
      await until(() => events(stud, "reloaded").length === 1, "the reload");
      await until(async () => await serves("a.example") === "a2", "the new certificate");
      assert.deepEqual(events(stud, "reload-failed"), []);
    },
  },
  {
    name: "a file that is added to --pem-dir is served",
    waits: true,
    async run(context) {
      const { stud, directory, serves } = await watching(context, ["site.pem"], (directory) => {
        mkdirSync(join(directory, "pems"));
        return `pem-dir = "${join(directory, "pems")}"`;
      });
      assert.equal(await serves("b.example"), "a");
      copyFileSync(context.certificates.b, join(directory, "pems", "b.pem"));
      await until(() => events(stud, "reloaded").length === 1, "the reload");
      await until(async () => await serves("b.example") === "b", "the new certificate");
    },
  },
  {
    name: "a replaced symbolic link is detected",
    waits: true,
    async run(context) {
      const { stud, directory, serves } = await watching(context, [], (directory) => {
        for (const [name, from] of [["1", "a"], ["2", "a2"]] as const) {
          mkdirSync(join(directory, name));
          copyFileSync(context.certificates[from], join(directory, name, "site.pem"));
        }
        symlinkSync("1", join(directory, "live"));
        return `pem-file = "${join(directory, "live", "site.pem")}"`;
      });
      symlinkSync("2", join(directory, "next"));
      renameSync(join(directory, "next"), join(directory, "live"));
      await until(() => events(stud, "reloaded").length === 1, "the reload");
      await until(async () => await serves("a.example") === "a2", "the new certificate");
    },
  },
];

/** A stud with `watch`, with copies of certificate a under these names and the lines of `more`. */
async function watching(
  context: Context,
  pems: readonly string[],
  more: (directory: string) => string = () => "",
) {
  const directory = mkdtempSync(join(context.certificates.directory, "watch-"));
  for (const name of pems) copyFileSync(context.certificates.a, join(directory, name));
  const frontend = await freeEndpoint();
  const config = join(directory, "stud.conf");
  const lines = [
    `frontend = "[${frontend.host}]:${frontend.port}"`,
    ...pems.map((name) => `pem-file = "${join(directory, name)}"`),
    more(directory),
    'workers = 1\nwatch = on\nlog-format = "json"\n',
  ];
  writeFileSync(config, lines.join("\n"));
  const stud = await context.stud([`--config=${config}`], { backend: 1, frontend, exact: true });
  const serves = async (servername: string) => {
    // Workers with sockets of their own lose the connections in their queue when they stop listening.
    const connect = () => context.tls(frontend, { servername }).catch(() => undefined);
    const client = (await until(connect, "a connection"))!;
    const { CN } = client.getPeerCertificate().subject;
    client.destroy();
    return CN;
  };
  return { stud, directory, serves };
}

function events(stud: Stud, event: string) {
  return stud.logs.filter((line) => line.event === event);
}

/** The certificate and the key of a PEM file. */
function parts(pem: string): { certificate: string; key: string } {
  const sections = readFileSync(pem, "latin1").match(/-----BEGIN [^]*?-----END .*-----\n/g)!;
  const isKey = (section: string) => section.includes("KEY-----");
  return {
    certificate: sections.filter((section) => !isKey(section)).join(""),
    key: sections.filter(isKey).join(""),
  };
}
