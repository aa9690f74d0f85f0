/** The live page in Chromium, with status documents that the tests make up. */
import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import type { Status } from "../../src/status/status.ts";
import { assertAccessible, launchChromium, openPage } from "../support/chromium.ts";
import { isInstalled } from "../support/commands.ts";
import { PageServer } from "../support/page_server.ts";
import { certificate, degradedAt, statusAt, workersOf } from "../support/status_document.ts";
import { until } from "../support/until.ts";

const skip = process.env.CI !== "true" && !isInstalled("chromium") && "not installed: chromium";
/** Names and causes that would do harm as markup. */
const MARKUP = `"><img src=x onerror="document.title='broken'"><script>alert(1)</script>&lt;`;

/** What the tests use of the page's own world. */
interface Window {
  readonly document: {
    readonly activeElement: unknown;
    readonly body: { innerHTML: string };
    readonly documentElement: { readonly scrollWidth: number };
  };
  getComputedStyle(element: unknown): { readonly color: string; readonly outlineStyle: string };
}

describe("live page", { skip, timeout: 120_000, concurrency: 4 }, () => {
  let browser: Browser;
  before(async () => {
    browser = await launchChromium();
  });
  after(() => browser.close());

  /**
   * Opens the page once a document is there. Nothing that the browser complains about is accepted,
   * except what `expected` matches.
   */
  async function withPage(
    { status, options, expected = /^$/ }: {
      status: Status;
      options?: BrowserContextOptions;
      expected?: RegExp;
    },
    check: (page: Page, server: PageServer) => Promise<void>,
  ): Promise<void> {
    const server = new PageServer();
    const address = await server.start();
    server.send(status);
    const { page, complaints } = await openPage(browser, address, options);
    try {
      await page.locator("#problems").waitFor();
      await check(page, server);
      assert.deepEqual(complaints.filter((text) => !expected.test(text)), []);
    } finally {
      await page.context().close();
      server.close();
    }
  }

  // The slowest ones first.
  it("says that it is cut off, connects again, and survives counters that start anew", async () => {
    await withPage(
      { status: statusAt(100), expected: /503|ERR_\w+|Failed to load/ },
      async (page, server) => {
        server.send(statusAt(101));
        await page.getByText("75/s").first().waitFor();
        const before = server.connects;
        server.isRefusing = true;
        server.cut();
        await page.getByText("stud cannot be reached; trying again.").waitFor();
        assert.match(await text(page, "#notice"), /The values below are \d+.s old/);
        assert.match(await page.title(), /^No data/);
        assert.equal(await text(page, "#announcements"), "Not connected");
        server.isRefusing = false;
        // The next master has counted nothing yet.
        const later = (seconds: number): Status => ({
          ...statusAt(seconds),
          time: at(200 + seconds),
        });
        const at = (seconds: number) => statusAt(seconds).time;
        await until(() => server.connects > before + 1, "the page connects again");
        server.send(later(1));
        await page.locator("#notice").waitFor({ state: "hidden" });
        server.send(later(2));
        await page.getByText("75/s").first().waitFor();
        assert.equal(await text(page, "#health"), "Well");
        assert.doesNotMatch(JSON.stringify(await charts(page)), /-\d|NaN/);
      },
    );
  });

  it("is accessible in light and dark, well and degraded, wide and narrow", async () => {
    await withPage({ status: degradedAt(100) }, async (page, server) => {
      for (let second = 101; second < 110; second++) server.send(degradedAt(second));
      await page.getByText("Capabilities of this build").click();
      await page.getByText("The charts as a table").click();
      await assertAccessible(page, "degraded, light");
      await page.emulateMedia({ colorScheme: "dark" });
      await assertAccessible(page, "degraded, dark");
      server.send(statusAt(110));
      await page.getByRole("heading", { name: "No problems" }).waitFor();
      await page.setViewportSize({ width: 360, height: 740 });
      await assertAccessible(page, "well, dark, narrow");
      await page.emulateMedia({ colorScheme: "light" });
      await assertAccessible(page, "well, light, narrow");
    });
  });

  it("shows values that change with each document", async () => {
    await withPage({ status: statusAt(0) }, async (page, server) => {
      assert.equal(await text(page, "#health"), "Well");
      assert.equal(await text(page, "#problems h2"), "No problems");
      const handshakes = page.locator("figure", { hasText: "Handshakes" });
      assert.equal(await handshakes.locator("strong").first().textContent(), "–");
      for (let second = 1; second <= 5; second++) server.send(statusAt(second));
      await page.getByText("75/s").first().waitFor();
      assert.deepEqual(await charts(page), {
        "Connections": "305 open",
        "Handshakes": "40/s full, 75/s resumed",
        "Throughput": "1.43 MiB/s from clients, 22.9 MiB/s to clients",
        "Handshake time": "1.79 ms median, 9.81 ms 99 %",
        "Backend connect time": "639 µs median, 4.89 ms 99 %",
        "Failed connections": "3.0/s all",
      });
      const line = await handshakes.locator(".line").first().getAttribute("d");
      assert.match(line!, /^M[\d.]+ [\d.]+(L[\d.]+ [\d.]+){4}$/);
      assert.match(
        (await handshakes.locator("svg").getAttribute("aria-label"))!,
        /^Handshakes: full/,
      );
      await page.getByText("The charts as a table").click();
      await page.locator("#series").getByText("Throughput, to clients").waitFor();
      assert.match(await text(page, "#causes"), /handshake-failedclient1010/);
    });
  });

  it("shows what is wrong first, in words and colour", async () => {
    const status = degradedAt(100);
    const since = new Date(Date.parse(status.time) - 40_000).toISOString();
    const reason = "another reload is running";
    const inProgress = [{ state: "waiting", cause: "SIGHUP", since, reason }] as const;
    const reloads = { ...status.reloads, inProgress };
    await withPage({ status: { ...status, reloads } }, async (page) => {
      assert.equal(await text(page, "#health"), "Degraded");
      assert.equal(await page.title(), `3 problems – stud ${new URL(page.url()).host}`);
      assert.equal(await text(page, "#announcements"), "Degraded, 3 problems");
      const first = page.locator(".problems li").first();
      assert.match(
        (await first.textContent())!,
        /^Errorthe certificate for old\.example .*has expired/,
      );
      const colours = await page.locator(".problems .badge").evaluateAll((badges) =>
        badges.map((badge) => (globalThis as unknown as Window).getComputedStyle(badge).color)
      );
      assert.equal(new Set(colours).size, 2);
      const top = await page.locator("main > section").first().getAttribute("id");
      assert.equal(top, "problems");
      assert.match(await text(page, "#certificates tbody tr"), /old\.example.*ended 2 days ago/);
      const left = page.locator("#certificates .badge");
      const tones = await left.evaluateAll((all) => all.map(({ className }) => className));
      assert.deepEqual(tones, ["badge error", "badge warning", "badge good"]);
      assert.match(await text(page, "#backends tbody tr"), /api.*Downconnection refused/);
      assert.match(await text(page, "#reloads"), /Failed.*SIGHUP/);
      assert.match(await text(page, "#reload-problems"), /no private key/);
      const waiting = page.locator("#reloads div", { hasText: "In progress" });
      assert.equal(
        (await waiting.textContent())!.replaceAll("\u00a0", " "),
        "In progressWaitingSIGHUP, 40 s ago; another reload is running",
      );
      assert.match(
        await text(page, "#failures tbody"),
        /203\.0\.113\.7:51000no common TLS.*client, handshake-failed/,
      );
    });
  });

  it("shows what strangers send as text", async () => {
    const status = degradedAt(100);
    const hostile: Status = {
      ...status,
      problems: [{ severity: "error", code: MARKUP, text: MARKUP }],
      certificates: {
        total: 1,
        listed: [certificate({ names: [MARKUP], issuer: MARKUP })],
        warningDays: 21,
      },
      failures: status.failures.map((failure) => ({ ...failure, client: MARKUP, cause: MARKUP })),
      frontends: [{ name: MARKUP, addresses: [MARKUP], accepted: 1, open: 1 }],
      backends: [{ service: MARKUP, address: MARKUP, state: "down", since: MARKUP, cause: MARKUP }],
      reloads: {
        ...status.reloads,
        inProgress: [{ state: MARKUP as never, cause: MARKUP, since: MARKUP, reason: MARKUP }],
        last: { ...status.reloads.last!, cause: MARKUP, problems: [MARKUP] },
      },
      metrics: status.metrics.map((family) =>
        family.name === "stud_connection_failures_total" && family.type === "counter"
          ? { ...family, samples: [{ labels: { source: MARKUP, code: MARKUP }, value: 1 }] }
          : family
      ),
      build: { ...status.build, runtime: MARKUP, capabilities: { [MARKUP]: MARKUP } },
    };
    await withPage({ status: hostile, expected: /TrustedHTML/ }, async (page) => {
      assert.equal(await page.locator("img, main script, iframe").count(), 0);
      for (const place of ["#problems", "#certificates", "#failures", "#causes", "#reloads"]) {
        assert.ok((await text(page, place)).includes(MARKUP), place);
      }
      for (const place of ["#backends", "#frontends", "#build", "#capabilities"]) {
        assert.ok((await text(page, place)).includes(MARKUP), place);
      }
      assert.match(await page.title(), /^1 problem – stud/);
      // Even a script of the page could not make markup of text.
      const thrown = await page.evaluate(() => {
        try {
          (globalThis as unknown as Window).document.body.innerHTML = "<p>";
        } catch (error) {
          return String(error);
        }
      });
      assert.match(thrown ?? "", /TrustedHTML/);
    });
  });

  it("fits a phone with many workers, many certificates and long names", async () => {
    const long = "a-very-long-label-without-a-break".repeat(7);
    const listed = Array.from({ length: 1000 }, (_, i) =>
      certificate({
        names: Array.from({ length: i < 3 ? 100 : 2 }, (_, j) => `${j}.${i}.${long}.example`),
        place: `/etc/${long}/${i}.pem`,
        daysLeft: i,
      }));
    const status = degradedAt(100);
    const many: Status = {
      ...status,
      problems: Array.from({ length: 50 }, (_, i) => (
        { severity: "warning", code: `code-${i}`, text: long }
      )),
      workers: workersOf(200).map((worker) =>
        worker.slot === 180 ? { ...worker, state: "silent" } : worker
      ),
      certificates: { total: 5000, listed, warningDays: 21 },
      failures: status.failures.map((failure) => ({ ...failure, client: long, cause: long })),
      backends: [{ service: long, address: long, state: "down", since: status.time, cause: long }],
      frontends: [{ name: long, addresses: [long, long], accepted: 1, open: 1 }],
    };
    const options = { viewport: { width: 360, height: 740 } };
    await withPage({ status: many, options }, async (page, server) => {
      const fits = () =>
        page.evaluate(() => (globalThis as unknown as Window).document.documentElement.scrollWidth);
      assert.equal(await fits(), 360);
      assert.equal(await text(page, "#worker-states"), "199 serving, 1 silent");
      assert.match(await text(page, "#workers tbody tr"), /^180.*Silent/);
      assert.equal(await page.locator("#workers tbody tr:visible").count(), 16);
      // With the keyboard only.
      const more = page.getByRole("button", { name: "Show all 200 workers" });
      await more.focus();
      await page.keyboard.press("Enter");
      assert.equal(await page.locator("#workers tbody:first-of-type tr").count(), 200);
      const outline = await page.evaluate(() => {
        const { document, getComputedStyle } = globalThis as unknown as Window;
        return getComputedStyle(document.activeElement).outlineStyle;
      });
      assert.equal(outline, "solid");
      await page.getByRole("button", { name: /Show all 1,000 certificates.*of 5,000/ }).click();
      assert.equal(await page.locator("#certificates tbody:first-of-type tr").count(), 1000);
      // What was opened stays open, and is still the element that has the focus.
      server.send({ ...status, time: new Date(Date.parse(status.time) + 1000).toISOString() });
      await page.getByRole("heading", { name: "3 problems" }).waitFor();
      server.send({ ...status, time: new Date().toISOString(), workers: workersOf(200) });
      await page.getByRole("button", { name: "Show only 16 workers" }).waitFor();
      assert.equal(await fits(), 360);
    });
  });

  it("says that it cannot show another version of the document", async () => {
    await withPage({ status: statusAt(100) }, async (page, server) => {
      server.send({ ...statusAt(101), version: 99 as never });
      await page.getByText("stud sends version 99 of its status").waitFor();
      server.send({ version: 1, time: statusAt(102).time } as Status);
      await page.getByText("This page cannot show what stud sends").waitFor();
      server.send(statusAt(103));
      await page.locator("#notice").waitFor({ state: "hidden" });
    });
  });
});

async function text(page: Page, selector: string): Promise<string> {
  return (await page.locator(selector).first().textContent())!.replaceAll("\u00a0", " ");
}

/** What each chart shows as its current values, by its title. */
async function charts(page: Page): Promise<Record<string, string>> {
  const figures = await page.locator("figure").all();
  return Object.fromEntries(
    await Promise.all(figures.map(async (figure) => {
      const values = await figure.locator("li:visible").all();
      const texts = await Promise.all(values.map(async (value) => {
        const [number, name] = await value.locator("> *").allTextContents();
        return `${number!.replaceAll("\u00a0", " ")} ${name}`;
      }));
      return [await figure.locator("h3").textContent(), texts.join(", ")] as const;
    })),
  );
}
