import { test } from "node:test";
import assert from "node:assert/strict";
import { connectionFacts } from "../../src/access_log/connection_facts.ts";
import { accessLine, LINE_BEGINS, MAX_LINE } from "../../src/access_log/format.ts";
import { type AccessRecord, FIELDS } from "../../src/access_log/record.ts";

const whole: AccessRecord = {
  time: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  client: "192.0.2.9:40112",
  frontend: "[::]:443",
  service: "default",
  sni: "example.com",
  alpn: "h2",
  version: "TLSv1.3",
  cipher: "TLS_AES_128_GCM_SHA256",
  resumed: true,
  subject: "CN=Alice Ä,O=Example",
  backend: "127.0.0.1:8080",
  received: 517,
  sent: 4096,
  handshake: 0.004213,
  connect: 0.0002,
  total: 12.5,
  reason: "closed",
  by: "client",
  worker: 1,
  pid: 1234,
  connection: 7,
  uniqueId: "00ff",
};

/** What is known of every connection, on every build. */
const bare: AccessRecord = {
  ...{
    time: whole.time,
    frontend: "[::]:443",
    service: "default",
    received: 0,
    sent: 0,
    total: 0.1,
  },
  ...{ reason: "client-left", by: "client", worker: 2, pid: 9, connection: 1 },
};

/** Texts that strangers may send to confuse whoever reads the log. */
const HOSTILE = [
  'a" total=0 by="x',
  "a\nb time=2026",
  "a\r\x1b[2J\x07",
  "tab\t nul\0 del\x7f csi\x9b",
  "lines\u2028\u2029\u0085",
  "bidi\u202e\u2066\u200f\ufeff",
  "invisible\u00ad\u200d\u{e0041}",
  "half\ud800 \udfff",
  "back\\slash",
  "-",
  "",
  "日本語",
  "=",
];

/** Takes a text line apart as a reader would. */
function parsed(line: string): Record<string, string | undefined> {
  const found: Record<string, string | undefined> = {};
  let rest = line;
  while (rest !== "") {
    const [all, name, quoted, plain] = /^(\w+)=(?:("(?:[^"\\]|\\.)*")|([^\s"]+))(?: |$)/.exec(
      rest,
    )!;
    found[name!] = quoted ? JSON.parse(quoted) : plain === "-" ? undefined : plain;
    rest = rest.slice(all.length);
  }
  return found;
}

test("a text line has every field in order, and - for what is not known", () => {
  assert.equal(
    accessLine(whole, "text"),
    "time=2026-01-02T03:04:05.678Z client=192.0.2.9:40112 frontend=[::]:443 service=default " +
      "sni=example.com alpn=h2 version=TLSv1.3 cipher=TLS_AES_128_GCM_SHA256 resumed=true " +
      'subject="CN=Alice Ä,O=Example" backend=127.0.0.1:8080 received=517 sent=4096 ' +
      "handshake=0.004213 connect=0.0002 total=12.5 reason=closed by=client worker=1 pid=1234 " +
      "connection=7 uniqueId=00ff",
  );
  assert.equal(
    accessLine(bare, "text"),
    "time=2026-01-02T03:04:05.678Z client=- frontend=[::]:443 service=default sni=- alpn=- " +
      "version=- cipher=- resumed=- subject=- backend=- received=0 sent=0 handshake=- connect=- " +
      "total=0.1 reason=client-left by=client worker=2 pid=9 connection=1 uniqueId=-",
  );
});

test("a JSON line is an object with the fields that are known, in order", () => {
  const { time, ...others } = whole;
  const line = accessLine(whole, "json");
  assert.deepEqual(JSON.parse(line), { time: new Date(time).toISOString(), ...others });
  assert.deepEqual(Object.keys(JSON.parse(line)), [...FIELDS]);
  const { time: _, ...known } = JSON.parse(accessLine(bare, "json"));
  const { time: __, ...expected } = bare;
  assert.deepEqual(known, expected);
});

test("every line begins in the same way, so that the rest of a torn one is recognized", () => {
  const lines = [accessLine(bare, "text"), accessLine(bare, "json")];
  assert.ok(lines.every((line, form) => line.startsWith(LINE_BEGINS[form]!)));
});

test("no text of a stranger adds a line, a field or a control character, or is lost", () => {
  for (const text of HOSTILE) {
    for (const name of ["sni", "alpn", "subject"] as const) {
      const record = { ...whole, [name]: text };
      const lines = [accessLine(record, "text"), accessLine(record, "json")];
      for (const line of lines) {
        assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u, JSON.stringify(text));
        assert.equal(Buffer.from(line).toString(), line, "it is valid UTF-8");
      }
      assert.deepEqual(parsed(lines[0]!), { ...parsed(accessLine(whole, "text")), [name]: text });
      assert.equal(JSON.parse(lines[1]!)[name], text);
      assert.deepEqual(Object.keys(JSON.parse(lines[1]!)), [...FIELDS]);
    }
  }
});

test("a line fits into one write to a pipe, whatever its texts are", () => {
  for (const character of ["a", "\0", "\ud800", "日", "😀", '"']) {
    const text = character.repeat(20_000);
    const record = { ...whole, sni: text, alpn: text, subject: text };
    for (const format of ["text", "json"] as const) {
      const line = accessLine(record, format);
      assert.ok(Buffer.byteLength(line) < MAX_LINE, `${Buffer.byteLength(line)} bytes`);
      const { sni } = (format === "json" ? JSON.parse(line) : parsed(line)) as { sni: string };
      assert.ok(sni.endsWith("…") && text.startsWith(sni.slice(0, -1)), "it says that it is cut");
    }
  }
});

test("the log has the same facts, those of the end when it has ended", () => {
  const { text, facts } = connectionFacts(whole, "established");
  assert.equal(
    text,
    "frontend=[::]:443 service=default sni=example.com alpn=h2 version=TLSv1.3 " +
      'cipher=TLS_AES_128_GCM_SHA256 resumed=true subject="CN=Alice Ä,O=Example" ' +
      "backend=127.0.0.1:8080 handshake=0.004213 connect=0.0002",
  );
  assert.equal(facts.sni, "example.com");
  const closed = connectionFacts(whole, "closed");
  assert.match(closed.text, / received=517 sent=4096 .* total=12.5 reason=closed by=client$/);
  assert.deepEqual(connectionFacts(bare, "closed").facts, {
    ...{ frontend: "[::]:443", service: "default", received: 0, sent: 0, total: 0.1 },
    ...{ reason: "client-left", by: "client" },
  });
});
