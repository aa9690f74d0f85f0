/** TLS versions and ciphers. */
import assert from "node:assert/strict";
import type { ConnectionOptions } from "node:tls";
import { exchange, trusting } from "../support/client.ts";
import { needs, refuses } from "../support/capability.ts";
import type { Behaviour } from "../support/context.ts";

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
    name: "--prefer-server-ciphers is refused where the order is fixed",
    appliesTo: ({ ciphers }) => !ciphers,
    run: (context) => refuses(context, "ciphers", ["--prefer-server-ciphers"]),
  },
];
