/** ClientHellos and PROXY headers from the mutation fuzzer. */
import type { Socket } from "node:net";
import type { Endpoint } from "../../support/endpoints.ts";
import { descriptorCount } from "../../support/processes.ts";
import { launchStud } from "../../support/stud.ts";
import { until } from "../../support/until.ts";
import { type Attack, dial, type Field, inParallel, ONE_WORKER } from "./attack.ts";
import { captureHello, captureHellos } from "./hellos.ts";
import { mutant } from "./mutate.ts";

const HELLOS = 50_000;
const HEADERS = 10_000;
/** With the number of an input it makes that input again. */
const SEED = 0x57d;
const AT_ONCE = 32;
/** Inputs between two looks at the worker. */
const BATCH = 2000;
/** How long a client waits for stud to say something, in milliseconds; then it sends RST. */
const REACTION = 20;
/** How much the load's connections may differ from one look to the next. */
const LOAD_DESCRIPTORS = 500;
/** The config file's form of both options is `--accept-proxy --trusted-proxies`. */
const ACCEPT_PROXY = ["--accept-proxy", "--trusted-proxies=127.0.0.0/8", "--quiet"];

/** As mutation material; a ClientHello follows each. */
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
      const count = Math.ceil(HELLOS / field.form.divisor);
      const attack = { frontend: field.frontend, worker: worker!, material: hellos, count };
      await sendMutants(field, attack, async () => {
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
      await until(() => isAnswered(stud.frontend, material[0]!), "stud takes a PROXY header");
      const idle = descriptorCount(worker);
      const count = Math.ceil(HEADERS / field.form.divisor);
      await sendMutants(field, { frontend: stud.frontend, worker, material, count }, async () => {
        if (stud.worker() !== worker) throw new Error("the worker was replaced");
        if (!await isAnswered(stud.frontend, material[3]!)) throw new Error("no ServerHello");
        await until(() => descriptorCount(worker) <= idle, `${idle} descriptors again`);
      });
      const { code } = await stud.stop();
      if (code !== 0) throw new Error(`the second stud ended with ${code}: ${stud.stderr}`);
      if (stud.stderr !== "") throw new Error(`the second stud says: ${stud.stderr}`);
    },
  },
];

interface Mutants {
  readonly frontend: Endpoint;
  readonly worker: number;
  readonly material: readonly Buffer[];
  readonly count: number;
}

/** `check` follows each batch. */
async function sendMutants(
  field: Field,
  { frontend, worker, material, count }: Mutants,
  check: () => Promise<void>,
): Promise<void> {
  const begun = performance.now();
  const before = descriptorCount(worker);
  const reactions = { answered: 0, ended: 0, silent: 0 };
  for (let first = 0; first < count; first += BATCH) {
    await inParallel(Math.min(BATCH, count - first), AT_ONCE, async (number) => {
      const input = mutant(material, SEED, first + number);
      const socket = await dial(frontend, first + number);
      socket.write(input);
      reactions[await reaction(socket)]++;
      socket.resetAndDestroy();
    });
    try {
      await check();
      const most = before + LOAD_DESCRIPTORS;
      await until(() => descriptorCount(worker) <= most, `at most ${most} descriptors`);
    } catch (error) {
      throw new Error(`after the inputs ${first} to ${first + BATCH - 1}: ${error}`);
    }
  }
  const seconds = (performance.now() - begun) / 1000;
  const parts = Object.entries(reactions).map(([what, times]) => `${times} ${what}`);
  field.notes.push(`${count} inputs in ${seconds.toFixed(0)} s: ${parts.join(", ")}`);
}

/** What stud does first with what was sent. */
function reaction(socket: Socket): Promise<"answered" | "ended" | "silent"> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve("silent"), REACTION);
    const settle = (what: "answered" | "ended") => () => {
      clearTimeout(timer);
      resolve(what);
    };
    socket.once("data", settle("answered")).once("end", settle("ended"));
    socket.once("close", settle("ended"));
  });
}

/** Whether a ServerHello comes. */
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
