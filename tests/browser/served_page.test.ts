/** The live page of a running stud in Chromium. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import type { Browser } from "playwright-core";
import { generate } from "selfsigned";
import { upgraded } from "../behaviours/upgrade.ts";
import {
  type Certificates,
  makeCertificates,
  removeCertificates,
} from "../support/certificates.ts";
import { assertAccessible, launchChromium, openPage } from "../support/chromium.ts";
import { openTcp } from "../support/client.ts";
import { isInstalled } from "../support/commands.ts";
import { Context } from "../support/context.ts";
import { endpointText, freeEndpoint } from "../support/endpoints.ts";
import { startLoad } from "../support/load.ts";
import { hold } from "../support/processes.ts";
import { target, type TargetName } from "../support/target.ts";
import { until } from "../support/until.ts";

const skip = process.env.CI !== "true" && !isInstalled("chromium") && "not installed: chromium";
const TOKEN = "0123456789abcdef-token";
const BUILDS: readonly TargetName[] = ["dist-stud", "dist-stud-node", "dist-stud-deno"];

describe("live page of a running stud", { skip, timeout: 120_000, concurrency: 4 }, () => {
  let browser: Browser;
  let certificates: Certificates;
  let expired: string;
  before(async () => {
    certificates = makeCertificates();
    expired = await expiredPem(certificates.directory);
    browser = await launchChromium();
  });
  after(async () => {
    await browser.close();
    removeCertificates(certificates);
  });

  // The slowest one first.
  it("asks for the token, follows an upgrade, and shows that the master does not answer", async () => {
    await inContext("dist-stud", (context) => survive(context, browser));
  });

  for (const build of BUILDS) {
    it(`${build}: values change under load, an ended certificate is a problem, a reload shows`, async () => {
      await inContext(build, (context) => visit(context, browser, expired));
    });
  }

  async function inContext(
    build: TargetName,
    action: (context: Context) => Promise<void>,
  ): Promise<void> {
    const context = new Context(target(build), certificates);
    try {
      await action(context);
      assert.deepEqual(context.internalErrors(), []);
    } finally {
      await context.cleanUp();
    }
  }
});

async function survive(context: Context, browser: Browser): Promise<void> {
  const admin = await freeEndpoint();
  const { directory, localhost } = context.certificates;
  const tokenFile = join(directory, "token");
  writeFileSync(tokenFile, TOKEN, { mode: 0o600 });
  const words = [`--admin=${endpointText(admin)}`, `--admin-token-file=${tokenFile}`, localhost];
  const stud = await context.stud(words, { backend: (await context.echo()).port });
  const { page } = await openPage(browser, `http://${endpointText(admin)}/`, {
    httpCredentials: { username: "", password: TOKEN },
  });
  context.after(() => page.context().close());
  const master = page.locator("#build");
  await master.getByText(`pid ${stud.pid},`).waitFor();
  const successor = await upgraded(context, stud, stud.pid);
  await master.getByText(`pid ${successor},`).waitFor();
  await page.locator("#notice").waitFor({ state: "hidden" });
  await hold(successor);
  await page.getByText("stud answers, but sends no new values.").waitFor();
  process.kill(successor, "SIGCONT");
  await page.locator("#notice").waitFor({ state: "hidden" });
}

async function visit(context: Context, browser: Browser, expired: string): Promise<void> {
  const admin = await freeEndpoint();
  const { port: backend } = await context.echo();
  const words = [`--admin=${endpointText(admin)}`, context.certificates.localhost, expired];
  const stud = await context.stud(words, { backend });
  const { page, complaints } = await openPage(browser, `http://${endpointText(admin)}/`);
  context.after(() => page.context().close());
  const text = async (selector: string) =>
    (await page.locator(selector).first().textContent())!.replaceAll("\u00a0", " ");

  await page.getByText("certificate-expired").first().waitFor();
  assert.match(await text(".problems"), /Error[^]*old\.example/);
  assert.match(await text("#certificates tbody tr"), /^old\.example.*ended [\d,]+ days ago/);
  assert.equal(await text("#health"), "Degraded");

  const load = startLoad(context, stud.frontend, 2);
  const values = (chart: string) =>
    page.locator("figure", { hasText: chart }).first().locator("strong:visible").allTextContents();
  const isMoving = async (chart: string) =>
    (await values(chart)).some((value) => /[1-9]/.test(value));
  for (
    const chart of ["Connections", "Handshakes", "Throughput", "Handshake time", "Backend connect"]
  ) await until(() => isMoving(chart), `${chart} under load`);
  const first = await text("#frontends tbody td.number:nth-of-type(2)");
  await until(
    async () => await text("#frontends tbody td.number:nth-of-type(2)") !== first,
    "more connections are accepted",
  );
  assert.match(await text("#workers tbody"), /Serving/);
  assert.match(await text("#backends tbody"), /default.*Up/);

  const stranger = await openTcp(stud.frontend);
  stranger.end("GET / HTTP/1.1\r\n\r\n");
  await until(async () => /handshake-failed/.test(await text("#causes")), "the failure by cause");
  await until(
    async () => /client, handshake-failed/.test(await text("#failures")),
    "the failure in words",
  );

  await fetch(`http://${endpointText(admin)}/reload`, { method: "POST" });
  await until(async () => /Succeeded/.test(await text("#reloads")), "the reload");
  await load.stop();
  // The page is the same on all builds.
  if (context.target.name === BUILDS[0]) await assertAccessible(page, "a running stud");
  assert.deepEqual(complaints, []);
}

/** A certificate that has ended, which stud serves nevertheless. */
async function expiredPem(directory: string): Promise<string> {
  const { private: key, cert } = await generate([{ name: "commonName", value: "old.example" }], {
    keyType: "ec",
    notBeforeDate: new Date("2020-01-01"),
    notAfterDate: new Date("2021-01-01"),
    extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: "old.example" }] }],
  });
  const file = join(directory, "old.pem");
  writeFileSync(file, key + cert, { mode: 0o600 });
  return file;
}
