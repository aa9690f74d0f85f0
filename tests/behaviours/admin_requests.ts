/** The admin endpoint: what it answers to which requests, and who may ask. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { residentMemory } from "../../src/os/resident_memory.ts";
import {
  type AdminAddress,
  administered,
  ask,
  open,
  type Reply,
  type Request,
  sendRaw,
  textOf,
  TOKEN,
} from "../support/admin.ts";
import { makePem } from "../support/certificate_files.ts";
import { exchange } from "../support/client.ts";
import type { Behaviour } from "../support/context.ts";
import { type Endpoint } from "../support/endpoints.ts";
import { descriptorCount, helperOf } from "../support/processes.ts";
import { until, within } from "../support/until.ts";

/** As in `helper/clients.ts`. */
const MAX_CLIENTS = 128;

export const adminRequests: readonly Behaviour[] = [
  {
    name: "each path answers with its type, and nothing that a browser could misuse",
    fromSource: true,
    async run(context) {
      const { admin } = await administered(context);
      const cases: [path: string, type: RegExp, body: RegExp][] = [
        ["/", /^text\/html; charset=utf-8$/, /<html lang="en">/],
        ["/page.css", /^text\/css/, /./],
        ["/page.js", /^text\/javascript/, /./],
        ["/icon.svg", /^image\/svg/, /<svg/],
        ["/metrics", /^text\/plain; version=0\.0\.4; charset=utf-8$/, /^# HELP stud_/],
        ["/healthz", /^text\/plain/, /^ok\n$/],
        ["/readyz", /^text\/plain/, /^ready\n$/],
        ["/status", /^application\/json/, /^\{"version":1,.*\}\n$/],
        ["/status?pretty", /^application\/json/, /^\{\n {2}"version": 1,\n/],
      ];
      for (const [path, type, body] of cases) {
        const reply = await ask(admin, path);
        assert.equal(reply.code, 200, path);
        assert.match(reply.headers["content-type"]!, type);
        assert.match(reply.body, body);
        isProtected(reply);
        const head = await ask(admin, path, { method: "HEAD" });
        assert.deepEqual([head.code, head.body], [200, ""], path);
        assert.equal(head.headers["content-type"], reply.headers["content-type"]);
      }
      const accept = "application/openmetrics-text;version=1.0.0";
      const metrics = await ask(admin, "/metrics", { headers: { accept } });
      assert.match(metrics.headers["content-type"]!, /^application\/openmetrics-text/);
      assert.match(metrics.body, /# EOF\n$/);
    },
  },
  {
    name: "other paths and methods are refused in one line",
    async run(context) {
      const { admin } = await administered(context);
      const cases: [method: string, path: string, code: number, allow?: string][] = [
        ["GET", "/nothing", 404],
        ["GET", "/__proto__", 404],
        ["GET", "/metrics/", 404],
        ["GET", "//healthz", 404],
        ["POST", "/metrics", 405, "GET, HEAD"],
        ["DELETE", "/status", 405, "GET, HEAD"],
        ["OPTIONS", "/status", 405, "GET, HEAD"],
        ["TRACE", "/status", 405, "GET, HEAD"],
        ["GET", "/reload", 405, "POST"],
        ["HEAD", "/drain", 405, "POST"],
        ["PUT", "/log-level", 405, "POST"],
      ];
      for (const [method, path, code, allow] of cases) {
        const reply = await ask(admin, path, { method });
        assert.equal(reply.code, code, `${method} ${path}`);
        assert.equal(reply.headers.allow, allow);
        if (method !== "HEAD") assert.match(reply.body, /^\{"error":"[^"]+"\}\n$/);
        isProtected(reply);
      }
      const bodies: [body: string, code: number][] = [["3", 400], ["", 400], ["2 1", 400]];
      for (const [body, code] of bodies) {
        assert.equal((await ask(admin, "/log-level", { method: "POST", body })).code, code, body);
      }
    },
  },
  {
    name: "what is not a plain request is refused, and the next one is answered",
    async run(context) {
      const { admin } = await administered(context);
      for (const [name, bytes, expected] of hostileRequests) {
        const answer = await sendRaw(admin, ...[bytes].flat());
        assert.match(answer, expected, name);
        assert.doesNotMatch(answer, /"version":1/, name);
        assert.equal((await ask(admin, "/healthz")).code, 200, name);
      }
    },
  },
  {
    name: "requests that follow each other at once are answered in order, but not any number",
    async run(context) {
      const { admin } = await administered(context);
      const paths = ["/healthz", "/status", "/nothing", "/readyz"];
      const requests = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      const last = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
      const answer = await sendRaw(admin, requests.join("") + last);
      const codes = [...answer.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, code]) => code);
      assert.deepEqual(codes, ["200", "200", "404", "200", "200"]);
      // The connection is closed, whatever has been answered by then.
      await sendRaw(admin, requests[0]!.repeat(5000));
      assert.equal((await ask(admin, "/healthz")).code, 200);
    },
  },
  {
    name: "slow clients are disconnected, and a thousand connections lock nobody out",
    waits: true,
    async run(context) {
      const { stud, admin } = await administered(context);
      const helper = helperOf(stud.pid, "@admin")!;
      const before = residentMemory(helper);
      const begun = performance.now();
      const slow = [
        "",
        "GET /status HTTP/1.1\r\nHost: local",
        "POST /log-level HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n1",
        "POST /log-level HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n1",
      ].map((bytes) => trickling(admin, bytes));
      const idle = sendRaw(admin, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
      assert.equal((await ask(admin, "/healthz")).code, 200);
      for (const closed of slow) assert.equal(await within(closed, "the close"), "");
      const took = performance.now() - begun;
      assert.ok(took > 4000, `a client has five seconds, not ${took} ms`);
      const many = Array.from({ length: 1000 }, () => open(admin));
      context.after(() => many.forEach((socket) => socket.destroy()));
      await Promise.all(many.map((socket) => once(socket, "connect").catch(() => {})));
      for (const socket of many) socket.write("GET /status HTTP/1.1\r\nHost: ");
      for (let i = 0; i < 20; i++) assert.equal((await ask(admin, "/healthz")).code, 200);
      assert.ok(descriptorCount(helper) < MAX_CLIENTS + 60, String(descriptorCount(helper)));
      const grown = (residentMemory(helper) - before) / 1e6;
      assert.ok(grown < 100, `the helper has grown by ${grown} MB`);
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      assert.match(await idle, /^HTTP\/1\.1 200/);
    },
  },
  {
    name: "clients that do not read their answers lock nobody out",
    waits: true,
    async run(context) {
      // Names in number, so that the kernel cannot take a whole answer for the client.
      const { directory } = context.certificates;
      const names = Array.from({ length: 100 }, (_, i) => `DNS:${i}.example`).join(",");
      const pem = makePem(mkdtempSync(join(directory, "named-")), "many", { names });
      const pems = mkdtempSync(join(directory, "pems-"));
      for (let i = 0; i < 30; i++) copyFileSync(pem, join(pems, `${i}.pem`));
      const { admin } = await administered(context, { unix: true, args: [`--pem-dir=${pems}`] });
      const request = "GET /status?pretty HTTP/1.1\r\nHost: localhost\r\n\r\n";
      const many = Array.from({ length: MAX_CLIENTS }, () => open(admin));
      context.after(() => many.forEach((socket) => socket.destroy()));
      await Promise.all(many.map(async (socket) => {
        socket.write(request);
        await within(once(socket, "readable"), "the beginning of an answer");
      }));
      await until(
        () => ask(admin, "/healthz").then(({ code }) => code === 200, () => false),
        "it",
        20_000,
      );
    },
  },
  {
    name: "a page of another site can neither read nor do anything",
    async run(context) {
      const { stud, admin } = await administered(context);
      const host = (admin as Endpoint).host;
      const post = { method: "POST", body: "0" };
      const own = `http://${textOf(admin)}`;
      const cases: [code: number, path: string, request: Request][] = [
        [421, "/status", { headers: { host: "evil.example" } }],
        [421, "/status", { headers: { host: `localhost.evil.example:${80}` } }],
        [421, "/status", { headers: { host: `${host}.nip.io` } }],
        [421, "/log-level", {
          ...post,
          headers: { host: "evil.example", origin: "http://evil.example" },
        }],
        [200, "/status", { headers: { host: "localhost:1" } }],
        [200, "/status", { headers: { host: "LOCALHOST" } }],
        [200, "/status", { headers: { host: "[::1]:9000" } }],
        [200, "/status", { headers: { host: "192.0.2.1" } }],
        [403, "/log-level", { ...post, headers: { origin: "http://evil.example" } }],
        [403, "/log-level", { ...post, headers: { origin: "null" } }],
        [403, "/log-level", { ...post, headers: { origin: `https://${textOf(admin)}` } }],
        [403, "/log-level", {
          ...post,
          headers: { origin: "http://localhost:3000", "content-type": "text/plain" },
        }],
        [403, "/drain", { method: "POST", headers: { "sec-fetch-site": "cross-site" } }],
        [403, "/drain", {
          method: "POST",
          headers: {
            "sec-fetch-site": "cross-site",
            "sec-fetch-mode": "navigate",
            "content-type": "application/x-www-form-urlencoded",
          },
        }],
        [403, "/status", { headers: { "sec-fetch-site": "same-site", "sec-fetch-mode": "cors" } }],
        [403, "/metrics", {
          headers: { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" },
        }],
        [200, "/", { headers: { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" } }],
        [200, "/status", {
          headers: { "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors" },
        }],
        [200, "/log-level", {
          ...post,
          headers: { origin: own, "sec-fetch-site": "same-origin" },
        }],
      ];
      for (const [code, path, request] of cases) {
        const reply = await ask(admin, path, request);
        assert.equal(reply.code, code, `${path} ${JSON.stringify(request)} ${reply.body}`);
        isProtected(reply);
      }
      assert.deepEqual(stud.logged("stopping"), []);
    },
  },
  {
    name: "a TCP address can require a token, which a reload changes",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "token-"));
      const file = join(directory, "token");
      writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 });
      const { stud, admin } = await administered(context, {
        args: [`--admin-token-file=${file}`],
      });
      const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
      const basic = (text: string) => ({ authorization: `Basic ${btoa(text)}` });
      const cases: [code: number, headers: Record<string, string>][] = [
        [200, bearer(TOKEN)],
        [200, { authorization: `bearer  ${TOKEN}` }],
        [200, basic(`anyone:${TOKEN}`)],
        [200, basic(`:${TOKEN}`)],
        // Whoever has the token is no page of another site.
        [200, { ...bearer(TOKEN), host: "stud.example" }],
        [403, { ...bearer(TOKEN), origin: "http://evil.example" }],
        [401, {}],
        [401, bearer(`${TOKEN}x`)],
        [401, bearer(TOKEN.slice(1))],
        [401, basic(TOKEN)],
        [401, { authorization: TOKEN }],
        [401, { authorization: "" }],
      ];
      for (const path of ["/status", "/healthz", "/", "/events?x"]) {
        assert.equal((await ask(admin, path)).code, 401, path);
      }
      for (const [code, headers] of cases) {
        const reply = await ask(admin, "/healthz", { headers });
        assert.equal(reply.code, code, JSON.stringify(headers));
        if (code !== 401) continue;
        assert.match(String(reply.headers["www-authenticate"]), /Bearer realm=.*Basic realm=/);
      }
      const line = await stud.waitForLog(({ event }) => event === "admin-refused", "the refusal");
      assert.equal(line.client, "127.0.0.1");
      writeFileSync(file, `${TOKEN}-new`);
      const reload = await ask(admin, "/reload", { method: "POST", headers: bearer(TOKEN) });
      assert.equal(reload.code, 200);
      await until(
        async () =>
          (await ask(admin, "/healthz", { headers: bearer(`${TOKEN}-new`) })).code === 200,
        "the new token",
      );
      assert.equal((await ask(admin, "/healthz", { headers: bearer(TOKEN) })).code, 401);
      assert.ok(!stud.stderr.includes(TOKEN), "no token in the log");
    },
  },
  {
    name: "wrong tokens of an address are limited, and never keep the right one out",
    async run(context) {
      const file = join(mkdtempSync(join(context.certificates.directory, "token-")), "token");
      writeFileSync(file, TOKEN, { mode: 0o600 });
      const { stud, admin } = await administered(context, {
        args: [`--admin-token-file=${file}`],
      });
      const attempts = (token: string) =>
        Array.from(
          { length: 40 },
          () => ask(admin, "/healthz", { headers: { authorization: `Bearer ${token}` } }),
        );
      const wrong = await Promise.all(attempts("wrong"));
      const limited = wrong.filter(({ code }) => code === 429);
      assert.ok(limited.length > 0, "some are over the limit");
      assert.ok(wrong.some(({ code }) => code === 401), "the first ones are not");
      for (const { headers } of limited) {
        assert.equal(headers["retry-after"], "1");
        assert.equal(headers.connection, "close");
      }
      const mixed = [attempts("wrong"), attempts(TOKEN)].map((each) => Promise.all(each));
      const [refused, answered] = await Promise.all(mixed);
      assert.ok(refused!.every(({ code }) => code === 401 || code === 429));
      assert.deepEqual(new Set(answered!.map(({ code }) => code)), new Set([200]));
      assert.equal(stud.logged("admin-refused").length, 1, "logged once a minute");
    },
  },
];

/** Requests that must not be answered as if they were plain ones, and what is answered. */
const hostileRequests: readonly (readonly [string, string | Buffer | string[], RegExp])[] = [
  [
    "64 KiB of header",
    `GET /status HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(65536)}\r\n\r\n`,
    /^HTTP\/1\.1 4(00|31) /,
  ],
  [
    "many headers",
    `GET /status HTTP/1.1\r\nHost: localhost\r\n${"a: b\r\n".repeat(11_000)}\r\n`,
    /^HTTP\/1\.1 4(00|31) /,
  ],
  [
    "two ends of a body",
    postWith(
      "Content-Length: 4\r\nTransfer-Encoding: chunked",
      "0\r\n\r\nGET /status HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
    /^HTTP\/1\.1 400 /,
  ],
  ["two lengths", postWith("Content-Length: 1\r\nContent-Length: 2", "22"), /^HTTP\/1\.1 400 /],
  ["an unknown encoding", postWith("Transfer-Encoding: xchunked", "2"), /^HTTP\/1\.1 400 /],
  ["a body of 64 KiB", postWith(`Content-Length: ${65536}`, "2".repeat(65536)), /^HTTP\/1\.1 413 /],
  ["a body of 2 GB", postWith("Content-Length: 2147483648", "2"), /^HTTP\/1\.1 413 /],
  [
    "chunks of 64 KiB",
    postWith(
      "Transfer-Encoding: chunked",
      `${"1000\r\n".concat("2".repeat(4096), "\r\n").repeat(16)}0\r\n\r\n`,
    ),
    /^HTTP\/1\.1 413 /,
  ],
  [
    "endless chunks",
    postWith("Transfer-Encoding: chunked", "1000\r\n".concat("2".repeat(4096), "\r\n").repeat(100)),
    /^HTTP\/1\.1 413 /,
  ],
  [
    "an unknown expectation",
    postWith("Connection: close\r\nExpect: roses\r\nContent-Length: 1", "2"),
    /^HTTP\/1\.1 417 /,
  ],
  [
    "an absolute target",
    "GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    /^HTTP\/1\.1 400 /,
  ],
  ["a tunnel", "CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n", /^$/],
  [
    "two hosts",
    "GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    /^HTTP\/1\.1 400 /,
  ],
  ["no host", "GET /status HTTP/1.1\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 400 /],
  ["HTTP/0.9", "GET /status\r\n\r\n", /^HTTP\/1\.1 (400|505) /],
  ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", /^HTTP\/1\.1 400 /],
  [
    "TLS",
    Buffer.concat([Buffer.from("16030100a0010000", "hex"), Buffer.alloc(160)]),
    /^HTTP\/1\.1 400 /,
  ],
  ["garbage", Buffer.from("00ff0167617262616765\r\n\r\n", "latin1"), /^HTTP\/1\.1 400 /],
  [
    "a folded header",
    "GET /status HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    /^HTTP\/1\.1 400 /,
  ],
  ["lines without CR", "GET /status HTTP/1.1\nHost: localhost\n\n", /^HTTP\/1\.1 400 /],
];

function postWith(headers: string, body: string): string {
  return `POST /log-level HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n\r\n${body}`;
}

function isProtected({ headers }: Reply): void {
  assert.equal(headers["x-content-type-options"], "nosniff");
  assert.equal(headers["cache-control"], "no-store");
  assert.equal(headers["cross-origin-resource-policy"], "same-origin");
  assert.equal(headers["cross-origin-opener-policy"], "same-origin");
  assert.equal(headers["access-control-allow-origin"], undefined);
  const policy = String(headers["content-security-policy"]);
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
}

/** Sends a byte now and then; fulfilled with the answer when the connection is closed. */
function trickling(admin: AdminAddress, bytes: string): Promise<string> {
  const socket = open(admin);
  socket.write(bytes);
  const timer = setInterval(() => bytes !== "" && socket.write("1"), 500);
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => text += chunk);
  return new Promise((resolve) =>
    socket.on("close", () => {
      clearInterval(timer);
      resolve(text);
    })
  );
}
