import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as https from "node:https";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { fetchResponse, SilentResponderError } from "../../src/ocsp/fetch.ts";
import { MAX_RESPONSE } from "../../src/ocsp/messages.ts";
import { createRequest } from "../../src/ocsp/request.ts";
import { checkResponse } from "../../src/ocsp/response.ts";
import { readSubject } from "../../src/ocsp/subject.ts";
import { answer, bodyOf, chain, file, makeCertificate, serveHttp } from "../support/ocsp.ts";

const patient = { connectTimeout: 10, responseTimeout: 10 };
const impatient = { connectTimeout: 0.1, responseTimeout: 0.2 };
const request = Uint8Array.of(1, 2, 3);

test("openssl's responder is asked and its answer checked", async () => {
  makeCertificate("ca");
  makeCertificate("leaf", { issuer: "ca", serial: 7 });
  const subject = readSubject(chain("leaf", "ca"));
  const url = await serveHttp(async (incoming, outgoing) => {
    assert.equal(incoming.method, "POST");
    assert.equal(incoming.headers["content-type"], "application/ocsp-request");
    outgoing.setHeader("content-type", "application/ocsp-response");
    outgoing.end(answer(await bodyOf(incoming), 7));
  });
  const response = await fetchResponse(url, createRequest(subject), patient);
  assert.ok(checkResponse(response, subject, { verify: true }).until! > Date.now());
});

test("a redirected request keeps its method and body", async () => {
  const url = await serveHttp(async (incoming, outgoing) => {
    const body = await bodyOf(incoming);
    const status = Number(incoming.url!.slice(1));
    if (!status) return outgoing.end(`${incoming.method} ${body.join()}`);
    outgoing.writeHead(status, { location: "/" }).end("moved");
  });
  for (const status of [301, 302, 307, 308]) {
    const response = await fetchResponse(`${url}/${status}`, request, patient);
    assert.equal(new TextDecoder().decode(response), "POST 1,2,3");
  }
});

test("at most three redirects are followed, and only to HTTP", async () => {
  let requests = 0;
  const url = await serveHttp((incoming, outgoing) => {
    requests++;
    const location = incoming.url === "/file" ? "file:///etc/passwd" : "/";
    incoming.resume();
    outgoing.writeHead(307, { location }).end();
  });
  await assert.rejects(fetchResponse(url, request, patient), /redirects more than 3 times/);
  assert.equal(requests, 4);
  await assert.rejects(fetchResponse(`${url}/file`, request, patient), /file: is not supported/);
  await assert.rejects(fetchResponse("ftp://a.test/", request, patient), /ftp: is not supported/);
});

test("only status 200 is an answer", async () => {
  const url = await serveHttp((incoming, outgoing) => {
    incoming.resume();
    outgoing.writeHead(Number(incoming.url!.slice(1))).end("x");
  });
  for (const status of [302, 404, 503]) {
    await assert.rejects(
      fetchResponse(`${url}/${status}`, request, patient),
      new RegExp(`HTTP status ${status}`),
    );
  }
});

test("an endless answer is abandoned at the size limit", async () => {
  let sent = 0;
  const url = await serveHttp((incoming, outgoing) => {
    incoming.resume();
    const block = new Uint8Array(8192);
    const more = () => {
      while (!outgoing.destroyed && outgoing.write(block)) sent += block.length;
    };
    outgoing.on("drain", more);
    more();
  });
  await assert.rejects(fetchResponse(url, request, patient), /is larger than 32768 bytes/);
  assert.ok(sent >= MAX_RESPONSE);
});

test("a responder that sends nothing, or never ends, is abandoned at the time limit", async () => {
  const url = await serveHttp((incoming, outgoing) => {
    incoming.resume();
    if (incoming.url === "/drip") outgoing.write("x");
  });
  for (const path of ["/silent", "/drip"]) {
    const begun = performance.now();
    await assert.rejects(fetchResponse(url + path, request, impatient), (error: Error) => {
      assert.ok(error instanceof SilentResponderError);
      assert.match(error.message, /^no answer from http:.* within 0.3\d* s$/);
      return true;
    });
    assert.ok(performance.now() - begun < 15_000);
  }
});

test("an unreachable responder is reported in one line, and not as a timeout", async () => {
  const url = await serveHttp((incoming) => incoming.socket.destroy());
  for (
    const responder of [url, "http://127.0.0.1:1/", "http://[nonsense", "http://name.invalid/"]
  ) {
    await assert.rejects(fetchResponse(responder, request, patient), (error: Error) => {
      assert.ok(!(error instanceof SilentResponderError), error.message);
      assert.ok(error.message.startsWith(`${responder}: `), error.message);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
  }
});

test("an https responder is verified", async () => {
  makeCertificate("web", { extensions: ["subjectAltName=IP:127.0.0.1"] });
  const [cert, key] = ["web.crt", "web.key"].map((name) => readFileSync(file(name)));
  let requests = 0;
  const server = https.createServer({ cert: cert!, key: key! }, (_, outgoing) => {
    requests++;
    outgoing.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const { port } = server.address() as AddressInfo;
    await assert.rejects(fetchResponse(`https://127.0.0.1:${port}/`, request, patient));
    assert.equal(requests, 0);
  } finally {
    server.close();
  }
});
