import assert from "node:assert/strict";
import { test } from "node:test";
import {
  displayAddress,
  formatAddress,
  formatEndpoint,
  parseBackend,
  parseListen,
} from "../../src/options/address.ts";
import { parseServices } from "../../src/options/services.ts";

function parseAddress(text: string): unknown {
  const { listen, cert } = parseListen(text, "stud");
  assert.equal(cert, "");
  return listen;
}

test("both of stud's address forms are accepted", () => {
  assert.deepEqual(parseAddress("127.0.0.1,8000"), { host: "127.0.0.1", port: 8000 });
  assert.deepEqual(parseAddress("[127.0.0.1]:8000"), { host: "127.0.0.1", port: 8000 });
  assert.deepEqual(parseAddress("::1,8000"), { host: "::1", port: 8000 });
  assert.deepEqual(parseAddress("[::1]:8000"), { host: "::1", port: 8000 });
  assert.deepEqual(parseAddress("back-end.example,1"), { host: "back-end.example", port: 1 });
  assert.deepEqual(parseAddress("[*]:65535"), { host: "*", port: 65535 });
  assert.deepEqual(parseAddress("*,8443"), { host: "*", port: 8443 });
});

test("a backend's address cannot be a wildcard", () => {
  assert.throws(() => parseBackend("*,80", "stud"), {
    name: "RangeError",
    message: "Invalid address: wildcards are not allowed. Specify one host, as in [127.0.0.1]:80",
  });
  assert.deepEqual(parseBackend("::1,80", "stud"), { host: "::1", port: 80 });
});

test("HOST:PORT is refused with the correct form", () => {
  assert.throws(() => parseAddress("127.0.0.1:8000"), {
    message: '"127.0.0.1:8000" is not an address; write 127.0.0.1,8000 or [127.0.0.1]:8000',
  });
  const hints = {
    "8000": "HOST,8000 or [HOST]:8000",
    ":8000": "HOST,8000 or [HOST]:8000",
    "http://127.0.0.1:8080": "127.0.0.1,8080 or [127.0.0.1]:8080",
    "tcp://127.0.0.1:8080": "127.0.0.1,8080 or [127.0.0.1]:8080",
    "https://example.com/path?x": "example.com,443 or [example.com]:443",
    "http://[::1]/": "::1,80 or [::1]:80",
    "http://": "HOST,80 or [HOST]:80",
    "127.0.0.1 8000": "127.0.0.1,8000 or [127.0.0.1]:8000",
    "example.com": "HOST,PORT or [HOST]:PORT",
  };
  for (const [text, hint] of Object.entries(hints)) {
    const message = `${JSON.stringify(text)} is not an address; write ${hint}`;
    assert.throws(() => parseAddress(text), { message });
  }
});

test("ports outside 1 to 65535 are refused", () => {
  for (const port of ["", "0", "65536", "99999", "123456", "-1", "no-service", "80 ", "0x50"]) {
    assert.throws(
      () => parseAddress(`localhost,${port}`),
      /^RangeError: Invalid port number/,
      port,
    );
    assert.throws(
      () => parseAddress(`[localhost]:${port}`),
      /^RangeError: Invalid port number/,
      port,
    );
  }
});

test("invalid hosts are refused", () => {
  const wrong = [
    " ",
    "010.1.1.1",
    "fe80::%",
    "fe80::1%a/b",
    "1.2.3.4%lo",
    "300.1.1.1",
    "1::2::3",
    "1.2.3.4.5",
    "[::1]",
    "a b",
    "-x",
  ];
  wrong.push("a/b", "x".repeat(254), "a\nb");
  for (const host of wrong) {
    assert.throws(() => parseAddress(`${host},80`), RangeError, host);
    assert.throws(() => parseAddress(`[${host}]:80`), RangeError, host);
  }
  assert.throws(() => parseAddress("[::1],80"), RangeError);
  assert.throws(() => parseAddress("[::1]80"), RangeError);
});

test("IPv4 addresses are read as inet_aton does, zones and an empty host are accepted", () => {
  const forms: readonly [string, string][] = [
    ["127.1", "127.0.0.1"],
    ["0", "0.0.0.0"],
    ["1.2.3", "1.2.0.3"],
    ["1.65536", "1.1.0.0"],
    ["0x7F.0x1", "127.0.0.1"],
    ["4294967295", "255.255.255.255"],
    ["127.000.00.01", "127.0.0.1"],
    ["fe80::1%eth0", "fe80::1%eth0"],
    ["fe80::1%2", "fe80::1%2"],
    ["", "*"],
  ];
  for (const [host, read] of forms) {
    assert.deepEqual(parseAddress(`[${host}]:80`), { host: read, port: 80 });
    assert.deepEqual(parseAddress(`${host},80`), { host: read, port: 80 });
  }
  for (const host of ["4294967296", "1.2.3.256", "1.2.65536", "256.1"]) {
    assert.throws(() => parseAddress(`[${host}]:80`), RangeError, host);
  }
  assert.throws(() => parseBackend("[]:80", "hitch"), /empty host/);
});

test("addresses are formatted with brackets, endpoints as in logs", () => {
  assert.equal(formatAddress({ host: "*", port: 8443 }), "[*]:8443");
  assert.equal(formatAddress({ host: "::1", port: 80 }), "[::1]:80");
  assert.equal(displayAddress({ host: "*", port: 8443 }), "*:8443");
  assert.equal(displayAddress({ host: "::1", port: 80 }), "[::1]:80");
  assert.equal(displayAddress({ host: "a.example", port: 80 }), "a.example:80");
  assert.equal(formatEndpoint({ family: 4, address: "192.0.2.1", port: 80 }), "192.0.2.1:80");
  assert.equal(formatEndpoint({ family: 6, address: "::1", port: 80 }), "[::1]:80");
  const mapped = { family: 6, address: "::ffff:192.0.2.1", port: 80 } as const;
  assert.equal(formatEndpoint(mapped), "192.0.2.1:80");
});

test("hitch accepts brackets only, with a certificate after a plus", () => {
  assert.deepEqual(parseListen("[::1]:443+/etc/a,b+c.pem", "hitch"), {
    listen: { host: "::1", port: 443 },
    cert: "/etc/a,b+c.pem",
  });
  assert.deepEqual(parseListen("*,443+a.pem", "stud").cert, "a.pem");
  assert.throws(() => parseListen("*,443", "hitch"), {
    name: "RangeError",
    message: '"*,443" is not an address; write [*]:443',
    original: "Invalid address string '*,443'",
  });
  assert.throws(() => parseListen("[*]443", "hitch"), {
    original: "Invalid port specifier in string '[*]443'.",
  });
  assert.throws(
    () => parseBackend("[a]:80+x", "hitch"),
    /contains a certificate, which only a frontend can/,
  );
});

test("a port can be a service name", () => {
  assert.deepEqual(parseAddress("[*]:https"), { host: "*", port: 443 });
  const services = parseServices("# x\nsmtp 25/tcp mail # y\ntime 37/udp\nsmtp 26/tcp\nbad\n");
  assert.deepEqual([...services], [["smtp", 25], ["mail", 25]]);
});

test("Unix sockets and sockets from the service manager are addresses too", () => {
  assert.deepEqual(parseAddress("/run/x,1.sock"), { path: "/run/x,1.sock" });
  assert.deepEqual(parseAddress("unix:/run/x"), { path: "/run/x" });
  assert.deepEqual(parseAddress("unix:@x"), { path: "@x" });
  assert.deepEqual(parseBackend("@x", "hitch"), { path: "@x" });
  assert.deepEqual(parseAddress("systemd:https.socket"), { activated: "https.socket" });
  for (const text of ["unix:x", "unix:", "/", "@", "systemd:", "systemd:a:b"]) {
    assert.throws(() => parseAddress(text), RangeError, text);
  }
  assert.doesNotThrow(() => parseBackend(`/${"x".repeat(106)}`, "stud"));
  assert.throws(() => parseBackend(`/${"é".repeat(54)}`, "stud"), /at most 107 bytes/);
  assert.equal(formatAddress({ path: "/run/x" }), "unix:/run/x");
  assert.equal(formatAddress({ activated: "x" }), "systemd:x");
  assert.equal(displayAddress({ path: "/run/x" }), "unix:/run/x");
  assert.equal(displayAddress({ activated: "x" }), "systemd:x");
  assert.equal(formatEndpoint({ family: "unix", path: "@x" }), "unix:@x");
});
