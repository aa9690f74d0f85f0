/** What a PROXY version 2 header contains besides the addresses. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { TLSSocket } from "node:tls";
import { refuses } from "../support/capability.ts";
import { type ClientOptions, readAll } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, endpointText, freeEndpoint } from "../support/endpoints.ts";
import { curl, startHaproxy } from "../support/http.ts";
import { decodeProxyV2, type ProxyV2 } from "../support/proxy_v2.ts";
import { runStud, type Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;

/** Unusual capitals show whether case is preserved. */
const NAME = "Site1.Example";
/** An address that the kernel would not choose by default. */
const CLIENT = "127.0.0.77";

const ALPN = 0x01;
const AUTHORITY = 0x02;
const CRC32C = 0x03;
const UNIQUE_ID = 0x05;
const SSL = 0x20;
const SSL_VERSION = 0x21;
const SSL_CN = 0x22;
const SSL_CIPHER = 0x23;
const SSL_SIG_ALG = 0x24;
const SSL_KEY_ALG = 0x25;
const SSL_CLIENT_CERT = 0x28;
const HITCH_CERT = 0xe0;

/** The requested TLVs, the types expected in the header and in its SSL TLV, and their values. */
const LISTS: readonly {
  readonly list: string;
  readonly types: readonly number[];
  readonly parts?: readonly number[];
  /** Needs TLS facts, which not every build has. */
  readonly facts?: true;
  check?(header: ProxyV2, sent: Sent): void;
}[] = [
  {
    list: "alpn",
    types: [ALPN],
    check: (header) => assert.equal(header.alpn, "h2"),
  },
  {
    list: "authority",
    types: [AUTHORITY],
    facts: true,
    check: (header) => assert.equal(header.authority, NAME),
  },
  {
    list: "ssl",
    types: [SSL],
    parts: [SSL_VERSION, SSL_CIPHER],
    facts: true,
    check: (header, { version, cipher }) =>
      assert.deepEqual(header.tls, { flags: 7, verify: 0, version, cipher }),
  },
  {
    list: "ssl,cn",
    types: [SSL],
    parts: [SSL_VERSION, SSL_CN, SSL_CIPHER],
    facts: true,
    check: (header) => assert.equal(header.commonName, "b"),
  },
  {
    list: "ssl,sig-alg",
    types: [SSL],
    parts: [SSL_VERSION, SSL_CIPHER, SSL_SIG_ALG],
    facts: true,
    check: (header) => assert.equal(header.signatureAlgorithm, "ecdsa-with-SHA256"),
  },
  {
    list: "ssl,key-alg",
    types: [SSL],
    parts: [SSL_VERSION, SSL_CIPHER, SSL_KEY_ALG],
    facts: true,
    check: (header) => assert.equal(header.keyAlgorithm, "EC256"),
  },
  {
    list: "ssl,client-cert",
    types: [SSL],
    parts: [SSL_VERSION, SSL_CIPHER, SSL_CLIENT_CERT],
    facts: true,
    check: (header, { certificate }) =>
      assert.deepEqual(header.clientCertificate, new X509Certificate(certificate).raw),
  },
  {
    list: "hitch-cert",
    types: [HITCH_CERT],
    facts: true,
    check: (header, { certificate }) =>
      assert.equal(header.hitchCertificate, trustedPem(certificate)),
  },
  {
    list: "crc32c",
    types: [CRC32C],
    check: (header) => assert.equal(header.checksum, true),
  },
  {
    list: "unique-id",
    types: [UNIQUE_ID],
    check: (header) => assert.match(header.uniqueId!, /^[0-9a-f]{32}$/),
  },
  {
    list: "crc32c,client-cert,unique-id,key-alg,sig-alg,hitch-cert,cn,ssl,authority,alpn",
    types: [ALPN, AUTHORITY, UNIQUE_ID, HITCH_CERT, SSL, CRC32C],
    parts: [SSL_VERSION, SSL_CN, SSL_CIPHER, SSL_SIG_ALG, SSL_KEY_ALG, SSL_CLIENT_CERT],
    facts: true,
    check: (header) => assert.equal(header.checksum, true),
  },
];

export const proxyTlvs: readonly Behaviour[] = [
  ...VERSIONS.map((version): Behaviour => ({
    name: `in hitch's dialect a ${version} header is hitch's, byte for byte`,
    appliesTo: ({ tlsFacts }) => tlsFacts,
    async run(context) {
      const hitch = await asHitch(context, ["--alpn-protos=h2,http/1.1"]);
      const nameless = { servername: "" };
      for (
        const { client, tlvs } of [
          { client: usual(), tlvs: [tlv(ALPN, "h2"), tlv(AUTHORITY, NAME)] },
          { client: { servername: NAME }, tlvs: [tlv(AUTHORITY, NAME)] },
          { client: nameless, tlvs: [] },
        ]
      ) {
        const sent = await announced(context, hitch, { ...client, ...only(version) });
        const tls = tlv(SSL, of("0100000001"), tlv(SSL_VERSION, version), cipherOf(sent));
        assert.equal(sent.header.toString("hex"), vector(sent, [...tlvs, tls]));
      }
    },
  })),
  {
    name: "without TLS facts the header has addresses and ALPN, and a warning says so",
    appliesTo: ({ tlsFacts }) => !tlsFacts,
    async run(context) {
      const hitch = await asHitch(context, ["--alpn-protos=h2,http/1.1"]);
      const sent = await announced(context, hitch, usual());
      assert.equal(sent.header.toString("hex"), vector(sent, [tlv(ALPN, "h2")]));
      assert.match(context.stderr(), /write-proxy-v2: .* addresses and ALPN only/);
    },
  },
  {
    name: "in hitch's dialect --proxy-authority=off and --proxy-tlv=off omit their TLVs",
    async run(context) {
      const { tlsFacts } = context.target;
      for (
        const { words, types } of [
          { words: ["--proxy-authority=off"], types: [ALPN, SSL] },
          { words: ["--proxy-tlv=off"], types: [ALPN, AUTHORITY] },
          { words: ["--proxy-authority=off", "--proxy-tlv=off"], types: [ALPN] },
        ]
      ) {
        const hitch = await asHitch(context, ["--alpn-protos=h2", ...words]);
        const { header } = await announced(context, hitch, usual());
        assert.deepEqual(decodeProxyV2(header).types, tlsFacts ? types : [ALPN], words.join(" "));
      }
    },
  },
  {
    name:
      "in hitch's dialect --proxy-client-cert=on sends the certificate as OpenSSL's trusted PEM",
    async run(context) {
      const words = ["--proxy-client-cert=on"];
      if (!context.target.verifyClients) return await refuses(context, "verifyClients", words);
      const asking = ["--alpn-protos=h2", ...optional(context)];
      const hitch = await asHitch(context, [...words, ...asking]);
      const certificate = readFileSync(context.certificates.b);
      const sent = await announced(context, hitch, { ...usual(), ...showing(context) });
      const tls = tlv(SSL, of("0700000000"), tlv(SSL_VERSION, "TLSv1.3"), cipherOf(sent));
      const pem = trustedPem(certificate);
      assert.match(pem, /^-----BEGIN TRUSTED CERTIFICATE-----\n/);
      const tlvs = [tlv(ALPN, "h2"), tlv(AUTHORITY, NAME), tlv(HITCH_CERT, pem), tls];
      assert.equal(sent.header.toString("hex"), vector(sent, tlvs));
      const without = decodeProxyV2((await announced(context, hitch, usual())).header);
      assert.deepEqual(without.types, [ALPN, AUTHORITY, SSL]);
    },
  },
  ...LISTS.map(({ list, types, parts = [], facts, check }): Behaviour => ({
    name: `--proxy-tlvs=${list} writes exactly these`,
    appliesTo: ({ tlsFacts }) => tlsFacts || !facts,
    async run(context) {
      const asking = context.target.verifyClients ? optional(context) : [];
      const words = [`--proxy-tlvs=${list}`, "--write-proxy-v2", "--alpn-protos=h2", ...asking];
      const { stud, backend } = await announcing(context, words);
      for (const version of VERSIONS) {
        const client = { ...usual(), ...only(version), ...showing(context) };
        const sent = await announced(context, { frontend: stud.frontend, backend }, client);
        const header = decodeProxyV2(sent.header);
        assert.deepEqual(header.types, types);
        assert.deepEqual(header.tlsTypes, parts);
        check?.(header, sent);
      }
      assert.deepEqual(stud.failures(), []);
    },
  })),
  {
    name: "TLVs that a build cannot write are refused by name",
    appliesTo: ({ tlsFacts }) => !tlsFacts,
    async run(context) {
      const unknown = ["authority", "hitch-cert", "ssl", "cn", "sig-alg", "key-alg", "client-cert"];
      const words = [`--proxy-tlvs=alpn,unique-id,crc32c,${unknown.join()}`, "--write-proxy-v2"];
      await refuses(context, "tlsFacts", words);
      const all = [...words, context.certificates.localhost];
      const { stderr } = await runStud(context.target, all);
      const named = stderr.matchAll(/--proxy-tlvs: (\S+) is not supported/g);
      assert.deepEqual([...named].map(([, name]) => name), unknown);
    },
  },
  {
    name: "--proxy-tlvs omits what the connection lacks",
    appliesTo: ({ tlsFacts }) => tlsFacts,
    async run(context) {
      const list = "alpn,authority,hitch-cert,ssl,cn,client-cert";
      const words = ["--write-proxy-v2", `--proxy-tlvs=${list}`, "--alpn-protos=h2"];
      const { stud, backend } = await announcing(context, [...words, ...optional(context)]);
      const place = { frontend: stud.frontend, backend };
      const header = decodeProxyV2((await announced(context, place, { servername: "" })).header);
      assert.deepEqual(header.types, [SSL]);
      assert.deepEqual(header.tlsTypes, [SSL_VERSION, SSL_CIPHER]);
    },
  },
  {
    name: "--proxy-client-cert in stud's dialect adds the certificate as DER",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const words = ["--write-proxy-v2", "--proxy-client-cert", ...optional(context)];
      const { stud, backend } = await announcing(context, words);
      const place = { frontend: stud.frontend, backend };
      const sent = await announced(context, place, { ...usual(), ...showing(context) });
      const header = decodeProxyV2(sent.header);
      assert.deepEqual(header.types, [AUTHORITY, SSL]);
      assert.deepEqual(header.clientCertificate, new X509Certificate(sent.certificate).raw);
    },
  },
  {
    name: "sig-alg and key-alg describe the certificate that the client received",
    appliesTo: ({ tlsFacts }) => tlsFacts,
    async run(context) {
      const { rsa, a } = context.certificates;
      const words = ["--write-proxy-v2", "--proxy-tlvs=ssl,sig-alg,key-alg", rsa, a];
      const { stud, backend } = await announcing(context, words);
      const place = { frontend: stud.frontend, backend };
      for (
        const { servername, algorithms } of [
          // The CA's key, which signed all of them, is an EC key.
          { servername: "localhost", algorithms: ["ecdsa-with-SHA256", "RSA2048"] },
          { servername: "a.example", algorithms: ["ecdsa-with-SHA256", "EC256"] },
        ]
      ) {
        const header = decodeProxyV2((await announced(context, place, { servername })).header);
        assert.deepEqual([header.signatureAlgorithm, header.keyAlgorithm], algorithms);
      }
    },
  },
  {
    name: "the checksum detects each changed bit of the header",
    async run(context) {
      const words = ["--write-proxy-v2", "--proxy-tlvs=unique-id,crc32c"];
      const { stud, backend } = await announcing(context, words);
      const place = { frontend: stud.frontend, backend };
      const { header } = await announced(context, place, usual());
      assert.equal(decodeProxyV2(header).checksum, true);
      for (const at of [16, 24, 27, 31, header.length - 1]) {
        const other = Buffer.from(header);
        other[at]! ^= 1;
        assert.equal(decodeProxyV2(other).checksum, false, `byte ${at}`);
      }
    },
  },
  {
    name: "unique-id differs for each connection, and is in the log",
    async run(context) {
      const words = ["--write-proxy-v2", "--proxy-tlvs=unique-id", "-L", "2"];
      const { stud, backend } = await announcing(context, words);
      const place = { frontend: stud.frontend, backend };
      const ids = new Set<string>();
      for (let connection = 0; connection < 5; connection++) {
        const { header, port } = await announced(context, place, usual());
        const id = decodeProxyV2(header).uniqueId!;
        ids.add(id);
        const client = `${CLIENT}:${port}`;
        await stud.waitForLog((line) => line.uniqueId === id && line.client === client, id);
      }
      assert.equal(ids.size, 5);
    },
  },
  ...VERSIONS.map((version): Behaviour => ({
    name: `${version}: flags distinguish a certificate of this connection from one of the session`,
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const words = ["--write-proxy-v2", ...optional(context)];
      const { stud, backend } = await announcing(context, words);
      const place = { frontend: stud.frontend, backend };
      for (
        const { client, flags } of [
          { client: showing(context), flags: [7, 5] },
          { client: {}, flags: [1, 1] },
        ]
      ) {
        const options = { ...usual(), ...only(version), ...client };
        const first = await announced(context, place, options);
        const session = first.session;
        assert.ok(session, "a session");
        const second = await announced(context, place, { ...options, session });
        assert.deepEqual([first.resumed, second.resumed], [false, true]);
        const headers = [first, second].map(({ header }) => decodeProxyV2(header));
        assert.deepEqual(headers.map(({ tls }) => tls!.flags), flags);
        const isShown = flags[0] === 7;
        for (const { tls, commonName } of headers) {
          assert.equal(tls!.verify, isShown ? 0 : 1);
          assert.equal(commonName, isShown ? "b" : undefined);
        }
      }
    },
  })),
  {
    name: "group and sig-scheme, which no TLS library reports, are refused by name",
    async run(context) {
      for (const name of ["group", "sig-scheme"]) {
        const words = ["--write-proxy-v2", `--proxy-tlvs=alpn,${name}`];
        const all = [...words, context.certificates.localhost];
        const { code, stderr } = await runStud(context.target, all);
        assert.equal(code, 1);
        assert.match(stderr, /^stud: .+\n$/);
        assert.ok(
          stderr.includes("proxy-tlvs") && stderr.includes(`${name} is not supported`),
          stderr,
        );
        assert.match(stderr, /remove it/);
      }
    },
  },
  {
    name: "haproxy reads the authority, the unique ID and the addresses, and checks the checksum",
    needs: ["curl", "haproxy"],
    async run(context) {
      const { tlsFacts } = context.target;
      const facts = ["src", "src_port", "fc_pp_unique_id", "fc_pp_authority"];
      const haproxy = await startHaproxy(context, facts);
      const list = `alpn,unique-id,crc32c${tlsFacts ? ",authority,ssl,sig-alg,key-alg" : ""}`;
      const words = ["--write-proxy-v2", `--proxy-tlvs=${list}`, "--alpn-protos=http/1.1"];
      const stud = await context.stud([...words, "-L", "2"], { backend: haproxy });
      const { code, stdout, stderr } = await curl(context, [
        ...["--interface", CLIENT, "-w", " %{local_port}"],
        `https://${endpointText(stud.frontend)}/`,
      ]);
      assert.equal(code, 0, stderr);
      const [source, port, id, authority, localPort] = stdout.split(" ");
      assert.deepEqual([source, port], [CLIENT, localPort]);
      assert.equal(authority, tlsFacts ? "localhost" : "");
      assert.match(id!, /^[0-9a-f]{32}$/);
      await stud.waitForLog((line) => line.uniqueId === id, "the ID in the log");
    },
  },
];

/** Where stud listens, and the backend that receives its headers. */
interface Place {
  readonly frontend: Endpoint;
  readonly backend: Awaited<ReturnType<Context["backend"]>>;
}

/** A received header, with what the client knows about its connection. */
interface Sent {
  readonly header: Buffer;
  readonly frontend: Endpoint;
  readonly port: number;
  readonly version: string;
  readonly cipher: string;
  readonly resumed: boolean;
  readonly session: Buffer | undefined;
  /** The certificate that the client may have presented, PEM. */
  readonly certificate: Buffer;
}

async function announcing(
  context: Context,
  words: readonly string[],
): Promise<{ stud: Stud; backend: Place["backend"] }> {
  const backend = await context.backend();
  return { stud: await context.stud(words, { backend: backend.port }), backend };
}

/** Starts stud in hitch's dialect with hitch's option for PROXY headers. */
async function asHitch(context: Context, words: readonly string[]): Promise<Place> {
  const backend = await context.backend();
  const frontend = await freeEndpoint();
  // Like hitch, its dialect refuses to serve as root.
  const user = process.getuid!() === 0 ? ["--user=nobody"] : [];
  const stud = await context.launch([
    ...["--compat=hitch", "--write-proxy", `--frontend=[${frontend.host}]:${frontend.port}`],
    ...[`--backend=[127.0.0.1]:${backend.port}`, "--workers=1", "--log-format=json", ...user],
    ...words,
    context.certificates.localhost,
  ], { backend: backend.port, frontend, exact: true });
  await stud.waitForLog((line) => line.event === "ready", "stud is ready");
  stud.workers();
  return { frontend, backend };
}

/** What the backend receives about a client with these options before the client's first byte. */
async function announced(
  context: Context,
  { frontend, backend }: Place,
  options: ClientOptions,
): Promise<Sent> {
  const client = await context.tls(frontend, { localAddress: CLIENT, ...options });
  let session = client.getSession();
  client.on("session", (ticket) => session = ticket);
  const { localPort } = client;
  const socket = await backend.accept();
  // Tickets arrive with the first answer at the latest.
  socket.write("answer");
  await until(() => String(client.read() ?? "") === "answer", "the backend's answer");
  client.end("payload");
  const bytes = await readAll(socket);
  socket.end();
  const sent = {
    header: bytes.subarray(0, decodeProxyV2(bytes).length),
    frontend,
    port: localPort!,
    ...factsOf(client),
    session,
    certificate: readFileSync(context.certificates.b),
  };
  assert.equal(String(bytes.subarray(sent.header.length)), "payload");
  return sent;
}

function factsOf(client: TLSSocket): Pick<Sent, "version" | "cipher" | "resumed"> {
  return {
    version: client.getProtocol()!,
    cipher: client.getCipher().name,
    resumed: client.isSessionReused(),
  };
}

/** The whole header, as hexadecimal digits. */
function vector({ frontend, port }: Sent, tlvs: readonly Buffer[]): string {
  const addresses = [CLIENT, frontend.host].map((host) => Buffer.from(host.split(".").map(Number)));
  const content = Buffer.concat([...addresses, uint16(port), uint16(frontend.port), ...tlvs]);
  const beginning = of("0d0a0d0a000d0a515549540a2111");
  return Buffer.concat([beginning, uint16(content.length), content]).toString("hex");
}

function tlv(type: number, ...values: readonly (Buffer | string)[]): Buffer {
  const value = Buffer.concat(values.map((each) => Buffer.from(each)));
  return Buffer.concat([Buffer.of(type), uint16(value.length), value]);
}

function cipherOf({ cipher }: Sent): Buffer {
  return tlv(SSL_CIPHER, cipher);
}

function uint16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff);
}

function of(digits: string): Buffer {
  return Buffer.from(digits, "hex");
}

/** OpenSSL's own certificate format, which can contain trust settings. */
function trustedPem(pem: Buffer): string {
  return execFileSync("openssl", ["x509", "-trustout"], { input: pem, encoding: "utf8" });
}

/** A client that sends a server name and offers HTTP/2. */
function usual(): ClientOptions {
  return { servername: NAME, ALPNProtocols: ["h2"] };
}

function only(version: (typeof VERSIONS)[number]): ClientOptions {
  return { minVersion: version, maxVersion: version };
}

function optional({ certificates }: Context): string[] {
  return ["--client-verify=optional", `--client-verify-ca=${certificates.ca}`];
}

/** A client that presents a certificate if asked for one. */
function showing({ certificates }: Context): ClientOptions {
  const pem = readFileSync(certificates.b);
  return { cert: pem, key: pem };
}
