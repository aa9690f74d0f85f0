/** Registers every behaviour for one target with node:test. */
import assert from "node:assert/strict";
import { after, before, describe, it, type TestContext } from "node:test";
import {
  type Certificates,
  makeCertificates,
  removeCertificates,
} from "../support/certificates.ts";
import { isInstalled, type Peer } from "../support/commands.ts";
import { type Behaviour, Context } from "../support/context.ts";
import { type Target, target, targetNames } from "../support/target.ts";
import { accessLog } from "./access_log.ts";
import { accessLogEnds } from "./access_log_ends.ts";
import { admin } from "./admin.ts";
import { addresses } from "./addresses.ts";
import { affinity } from "./affinity.ts";
import { backends } from "./backends.ts";
import { backpressure } from "./backpressure.ts";
import { budgets } from "./budgets.ts";
import { commands } from "./commands.ts";
import { config } from "./config.ts";
import { certificateFiles } from "./certificate_files.ts";
import { certificates } from "./certificates.ts";
import { certificateDemands } from "./certificate_demands.ts";
import { clientCertificates } from "./client_certificates.ts";
import { clientMode } from "./client_mode.ts";
import { check } from "./check.ts";
import { close } from "./close.ts";
import { cuts } from "./cuts.ts";
import { containers } from "./containers.ts";
import { demo } from "./demo.ts";
import { drain } from "./drain.ts";
import { failures } from "./failures.ts";
import { frontends } from "./frontends.ts";
import { hardening } from "./hardening.ts";
import { hygiene } from "./hygiene.ts";
import { integrity } from "./integrity.ts";
import { limits } from "./limits.ts";
import { logging } from "./logging.ts";
import { memory } from "./memory.ts";
import { metrics } from "./metrics.ts";
import { mistakes } from "./mistakes.ts";
import { monitoring } from "./monitoring.ts";
import { namedFiles } from "./named_files.ts";
import { negotiation } from "./negotiation.ts";
import { outages } from "./outages.ts";
import { peers } from "./peers.ts";
import { prefix } from "./prefix.ts";
import { proxyIn } from "./proxy_in.ts";
import { proxyTlvs } from "./proxy_tlvs.ts";
import { reload } from "./reload.ts";
import { processes } from "./processes.ts";
import { privileges } from "./privileges.ts";
import { refusedSteps } from "./refused_steps.ts";
import { resumption } from "./resumption.ts";
import { secrets } from "./secrets.ts";
import { service } from "./service.ts";
import { serviceManager } from "./service_manager.ts";
import { sessionCache } from "./session_cache.ts";
import { sessionPeers } from "./session_peers.ts";
import { slowLog } from "./slow_log.ts";
import { sni } from "./sni.ts";
import { sockets } from "./sockets.ts";
import { sources } from "./sources.ts";
import { stapling } from "./stapling.ts";
import { systemd } from "./systemd.ts";
import { tickets } from "./tickets.ts";
import { top } from "./top.ts";
import { ticketStore } from "./ticket_store.ts";
import { statistics } from "./statistics.ts";
import { status } from "./status.ts";
import { surroundings } from "./surroundings.ts";
import { timeouts } from "./timeouts.ts";
import { upgrade } from "./upgrade.ts";
import { usage } from "./usage.ts";
import { versions } from "./versions.ts";
import { watch } from "./watch.ts";

/** Only a hang takes this long; in milliseconds. */
const LIMIT = 180_000;
/** How many run at a time: those that use the processors, and those that wait for time limits. */
const WORKING = 8;
const WAITING = 10;

/** `npm test -- --all` sets it. */
const isEverywhere = process.env.STUD_TEST_ALL === "1";

/** The slowest come first, so that the run does not end with one of them. */
const themes: Readonly<Record<string, readonly Behaviour[]>> = {
  "slow log": slowLog,
  admin,
  hygiene,
  affinity,
  watch: shared(watch),
  status: shared(status),
  backpressure,
  integrity,
  close,
  cuts,
  timeouts,
  processes,
  drain,
  peers,
  sni,
  resumption,
  tickets,
  "ticket store": ticketStore,
  statistics: shared(statistics),
  surroundings: shared(surroundings),
  "session cache": sessionCache,
  "session peers": sessionPeers,
  stapling,
  versions,
  config: shared(config),
  certificates: shared(certificates),
  "certificate files": shared(certificateFiles),
  negotiation,
  "certificate demands": shared(certificateDemands),
  "client certificates": clientCertificates,
  "client mode": clientMode,
  "proxy in": proxyIn,
  "proxy tlvs": shared(proxyTlvs),
  sources: shared(sources),
  "access log": shared(accessLog),
  "ends in the access log": accessLogEnds,
  addresses: shared(addresses),
  backends: shared(backends),
  outages,
  failures,
  frontends: shared(frontends),
  sockets,
  reload,
  upgrade: fromSource(upgrade),
  "refused steps": shared(refusedSteps),
  privileges: shared(privileges),
  service: fromSource(service),
  "service manager": shared(serviceManager),
  containers: shared(containers),
  systemd: shared(systemd),
  prefix,
  logging: shared(logging),
  metrics: shared(metrics),
  mistakes: shared(mistakes),
  monitoring: shared(monitoring),
  namedFiles: shared(namedFiles),
  check: shared(check),
  usage: shared(usage),
  commands: shared(commands),
  top: shared(top),
  demo: fromSource(demo),
  hardening,
  limits: shared(limits),
  secrets,
  memory,
  budgets,
};

/** The behaviours of all themes that apply to a target, each with its theme in its name. */
export function applicable(target: Target): Behaviour[] {
  return Object.entries(themes).flatMap(([theme, behaviours]) =>
    behaviours
      .filter(({ appliesTo }) => !appliesTo || appliesTo(target))
      .map((behaviour) => ({ ...behaviour, name: `${theme}: ${behaviour.name}` }))
  );
}

/**
 * The behaviours to run: for a built program all, except that the builds take turns with those that are
 * `shared`; for the sources those that can differ there, in turns too. With `everywhere` all run on each.
 */
export function chosen(target: Target, everywhere = isEverywhere): Behaviour[] {
  const all = applicable(target);
  const here = target.isBuilt ? all : all.filter(({ fromSource }) => fromSource);
  if (everywhere) return here;
  return here.filter((behaviour) =>
    target.isBuilt && !behaviour.shared || turn(behaviour, target.isBuilt) === target.name
  );
}

/** Which of the targets that a behaviour applies to runs it; its name decides. */
function turn({ name, appliesTo }: Behaviour, isBuilt: boolean): string {
  const able = targetNames.map(target).filter((each) =>
    each.isBuilt === isBuilt && (!appliesTo || appliesTo(each))
  );
  const sum = Buffer.from(name).reduce((so, byte) => so + byte, 0);
  return able[sum % able.length]!.name;
}

/** Registers the behaviours of one target. */
export function behaviours(target: Target): void {
  let made: Certificates;
  before(() => {
    made = makeCertificates();
  });
  after(() => removeCertificates(made));
  const context = () => new Context(target, made);
  const all = chosen(target);
  const suite = (name: string, concurrency: number, belongs: (each: Behaviour) => unknown) =>
    describe(name, { concurrency }, () => {
      for (const behaviour of all) if (belongs(behaviour)) register(behaviour, context);
    });
  describe(target.name, { concurrency: 2 }, () => {
    suite("waiting for time limits", WAITING, ({ alone, waits }) => !alone && waits);
    suite("in parallel", WORKING, ({ alone, waits }) => !alone && !waits);
  });
  suite(`${target.name}, one at a time`, 1, ({ alone }) => alone);
}

/** Marks a theme whose code is the same in all builds. */
function shared(theme: readonly Behaviour[]): readonly Behaviour[] {
  return theme.map((behaviour) => ({ ...behaviour, shared: true }));
}

/** Marks all behaviours of a theme that depends on how the program starts itself. */
function fromSource(theme: readonly Behaviour[]): readonly Behaviour[] {
  return theme.map((behaviour) => ({ ...behaviour, fromSource: true }));
}

function register(behaviour: Behaviour, context: () => Context): void {
  const missing = (behaviour.needs ?? []).filter((peer) => !isAvailable(peer));
  const skip = missing.length > 0 && `not installed: ${missing.join(", ")}`;
  if (skip && process.env.CI === "true") {
    it(behaviour.name, () => Promise.reject(new Error(skip)));
    return;
  }
  it(behaviour.name, { skip, timeout: LIMIT }, (test) => execute(behaviour, context(), test));
}

async function execute(behaviour: Behaviour, context: Context, test: TestContext): Promise<void> {
  // A test that timed out must still clean up after itself.
  test.signal.addEventListener("abort", () => context.cleanUp());
  try {
    await behaviour.run(context);
    assert.deepEqual(context.internalErrors(), []);
    assert.deepEqual(context.undocumentedEvents(), [], "docs/events.md");
  } catch (error) {
    if (error instanceof Error) error.message += `\n${context.stderr()}`;
    throw error;
  } finally {
    await context.cleanUp();
  }
}

const installed = new Map<Peer, boolean>();

function isAvailable(peer: Peer): boolean {
  const known = installed.get(peer) ?? isInstalled(peer);
  installed.set(peer, known);
  return known;
}
