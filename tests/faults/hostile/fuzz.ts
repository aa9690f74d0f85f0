/** ClientHellos and PROXY headers from the mutation fuzzer. */
import type { Socket } from "node:net";
import type { Endpoint } from "../../support/endpoints.ts";
import { descriptorCount } from "../../support/processes.ts";
import { launchStud } from "../../support/stud.ts";
import { until, within } from "../../support/until.ts";
import { type Attack, dial, type Field, inParallel, ONE_WORKER } from "./attack.ts";
import { captureHello, captureHellos } from "./hellos.ts";
import { mutant } from "./mutate.ts";
import { type Inputs, readInputs, saveInputs } from "./replay.ts";

const HELLOS = 50_000;
const HEADERS = 10_000;
/** Together with the number of an input it reproduces that input. */
const SEED = 0x57d;
const AT_ONCE = 32;
/** Inputs between two checks of the worker. */
const BATCH = 2000;
/** How long stud may take to answer, or to close what a client has closed, in milliseconds. */
const REACTION = 20_000;
/** How much the number of the load's connections may vary between two checks. */
const LOAD_DESCRIPTORS = 500;
/** The second stud's options. */
const ACCEPT_PROXY = ["--accept-proxy", "--trusted-proxies=127.0.0.0/8", "--quiet"];

/** Headers to mutate; a ClientHello follows each. */
const headers = [
  "PROXY TCP4 192.0.2.7 198.51.100.9 1234 443\r\n",
  "PROXY TCP6 2001:db8::7 2001:db8::9 1234 443\r\n",
  "PROXY UNKNOWN\r\n",
].map((line) => Buffer.from(line)).concat(
  [
    "2111000cc0000207c633640904d201bb",
    `21210024${"20010db8".repeat(8)}04d201bb`,
    "20000000",
    // With an authority, a unique id and no operation.
    "2111001fc0000207c633640904d201bb" + "020009" + Buffer.from("localhost").toString("hex") +
    "040000" + "050001aa",
    `213100d8${"2f".repeat(216)}`,
  ].map((rest) => Buffer.from(`0d0a0d0a000d0a515549540a${rest}`, "hex")),
);

export const fuzz: readonly Attack[] = [
  {
    name: "fuzz-hello",
    title: `${HELLOS} mutated ClientHellos (seed ${SEED})`,
    short: true,
    setup: ONE_WORKER,
    async run(field) {
      const hellos = await captureHellos(field.frontend);
      const [worker] = field.workers();
      const victim = { frontend: field.frontend, worker: worker! };
      await sendMutants(field, victim, inputsOf(field, hellos, HELLOS), async () => {
        if (field.workers()[0] !== worker) throw new Error("the worker was replaced");
        await field.ordinary();
      });
    },
  },
  {
    name: "fuzz-proxy-header",
    title: `${HEADERS} mutated PROXY headers (seed ${SEED}) to a second stud beside the load`,
    short: true,
    appliesTo: ({ headerFirst }) => headerFirst,
    setup: ONE_WORKER,
    async run(field) {
      const { target, backend, certificates } = field;
      const words = [...ACCEPT_PROXY, certificates.localhost];
      const stud = await launchStud(target, words, { backend: backend.endpoint });
      field.after(() => stud.destroy());
      await until(() => stud.workers().length === 1, "the worker");
      const worker = stud.worker();
      const hello = await captureHello({});
      const material = headers.map((header) => Buffer.concat([header, hello]));
      // It answers a ClientHello behind a header.
      await until(() => isAnswered(stud.frontend, material[0]!), "stud accepts a PROXY header");
      const idle = descriptorCount(worker);
      const victim = { frontend: stud.frontend, worker };
      await sendMutants(field, victim, inputsOf(field, material, HEADERS), async () => {
        if (stud.worker() !== worker) throw new Error("the worker was replaced");
        if (!await isAnswered(stud.frontend, material[3]!)) throw new Error("no ServerHello");
        await until(() => descriptorCount(worker) <= idle, `${idle} descriptors again`);
      });
      const { code } = await stud.stop();
      if (code !== 0) throw new Error(`the second stud exited with ${code}: ${stud.stderr}`);
      if (stud.stderr !== "") throw new Error(`the second stud logged: ${stud.stderr}`);
    },
  },
];

interface Victim {
  readonly frontend: Endpoint;
  readonly worker: number;
}

/** The inputs of an earlier run if it is to be repeated. */
function inputsOf({ form }: Field, material: readonly Buffer[], most: number): Inputs {
  if (form.replay !== undefined) return readInputs(form.replay);
  return { material, first: 0, count: Math.ceil(most / form.divisor) };
}

/** `check` follows each batch, or each input of a replay. */
async function sendMutants(
  field: Field,
  { frontend, worker }: Victim,
  { material, first, count }: Inputs,
  check: () => Promise<void>,
): Promise<void> {
  const begun = performance.now();
  const most = descriptorCount(worker) + LOAD_DESCRIPTORS;
  const reactions = { answered: 0, ended: 0 };
  const size = field.form.replay === undefined ? BATCH : 1;
  for (let at = first; at < first + count; at += size) {
    const batch = { material, first: at, count: Math.min(size, first + count - at) };
    try {
      await inParallel(batch.count, AT_ONCE, async (number) => {
        reactions[await reaction(frontend, material, at + number)]++;
      });
      await check();
      await until(() => descriptorCount(worker) <= most, `at most ${most} descriptors`);
    } catch (error) {
      throw new Error(
        `in the inputs ${at} to ${at + batch.count - 1}: ${error}; ` +
          `--replay=${saveInputs(batch)} sends them again, one after the other`,
      );
    }
  }
  const seconds = (performance.now() - begun) / 1000;
  const parts = Object.entries(reactions).map(([what, times]) => `${times} ${what}`);
  field.notes.push(`${count} inputs in ${seconds.toFixed(0)} s: ${parts.join(", ")}`);
}

/**
 * stud's first reaction to an input. FIN follows it, so that stud waits for no more; the connection
 * is then closed with RST.
 */
async function reaction(
  frontend: Endpoint,
  material: readonly Buffer[],
  number: number,
): Promise<"answered" | "ended"> {
  const socket = await dial(frontend, number);
  try {
    const comes = new Promise<"answered" | "ended">((resolve) => {
      socket.once("data", () => resolve("answered")).once("end", () => resolve("ended"));
      socket.once("close", () => resolve("ended"));
    });
    socket.end(mutant(material, SEED, number));
    return await within(comes, `a reaction to input ${number}`, REACTION);
  } finally {
    socket.resetAndDestroy();
  }
}

/** Whether a ServerHello arrives. */
async function isAnswered(frontend: Endpoint, bytes: Buffer): Promise<boolean> {
  let socket: Socket;
  try {
    socket = await dial(frontend, 0);
  } catch {
    return false;
  }
  let first = -1;
  socket.once("data", (answer: Buffer) => first = answer[0]!).write(bytes);
  try {
    await until(() => first >= 0 || socket.readableEnded || socket.destroyed, "an answer");
    return first === 22;
  } finally {
    socket.resetAndDestroy();
  }
}
