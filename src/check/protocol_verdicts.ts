/** Verdicts on the protocol, with remedies for a server that is stud. */
import type { Facts, NameAnswer, Resumption } from "./facts.ts";
import { alertName } from "./fault.ts";
import {
  cipherName,
  groupName,
  isModernCipher,
  TLS_1_2,
  TLS_1_3,
  versionName,
  X25519_MLKEM768,
} from "./numbers.ts";
import { about, type Verdict } from "./verdict.ts";

/** Groups with ML-KEM (IANA's registry of TLS supported groups). */
const POST_QUANTUM = [0x11eb, X25519_MLKEM768, 0x11ed];

export function protocolVerdicts(facts: Facts): Verdict[] {
  return [
    ...addressVerdicts(facts),
    ...versionVerdicts(facts),
    ...cipherVerdicts(facts),
    groupVerdict(facts),
    alpnVerdict(facts),
    ...resumptionVerdicts(facts),
    endVerdict(facts),
    ...nameVerdicts(facts),
  ];
}

function addressVerdicts({ unreachable, address }: Facts): Verdict[] {
  return unreachable.map(({ address: other, reason }) =>
    about("address").warning(
      `${other} cannot be connected (${reason}); ${address} was checked`,
      "listen there too with --frontend, or remove the address from DNS",
    )
  );
}

function versionVerdicts({ versions }: Facts): Verdict[] {
  const { ok, warning, problem } = about("versions");
  const offered = versions.filter(({ offered }) => "value" in offered && offered.value)
    .map(({ version }) => version);
  const old = offered.filter((version) => version < TLS_1_2).map(versionName);
  const found: Verdict[] = [];
  const modern = "use --tls, which offers TLS 1.2 and 1.3";
  if (!offered.some((version) => version >= TLS_1_2)) {
    found.push(problem(`only ${old.join(" and ")}, which current clients refuse`, modern));
  } else if (old.length > 0) {
    found.push(warning(`${old.join(" and ")} are old and insecure (RFC 8996)`, modern));
  }
  if (!offered.includes(TLS_1_3)) found.push(warning("TLS 1.3 is not offered", modern));
  const unknown = versions.filter(({ offered }) => "unknown" in offered);
  const rest = unknown.length > 0
    ? `; not known: ${unknown.map(({ version }) => versionName(version)).join(", ")}`
    : "";
  return found.length > 0 ? found : [ok(offered.map(versionName).join(" and ") + rest)];
}

function cipherVerdicts({ handshake: { cipher }, obsoleteCipher }: Facts): Verdict[] {
  const { ok, warning } = about("cipher");
  const remedy =
    "omit --ciphers, so that only AES-GCM and ChaCha20 with forward secrecy are offered";
  const found: Verdict[] = [];
  if (!isModernCipher(cipher)) {
    found.push(warning(
      `${cipherName(cipher)} lacks forward secrecy or authenticated encryption`,
      remedy,
    ));
  }
  if ("value" in obsoleteCipher && obsoleteCipher.value !== 0) {
    const name = cipherName(obsoleteCipher.value);
    found.push(warning(`the server accepts ${name}, which is obsolete`, remedy));
  }
  return found.length > 0 ? found : [ok(cipherName(cipher))];
}

function groupVerdict({ modernGroup, handshake: { group } }: Facts): Verdict {
  const { ok, unknown, warning } = about("group");
  const remedy = "let --ecdh-curve be auto, or begin it with X25519MLKEM768";
  if ("unknown" in modernGroup) {
    return group === undefined
      ? unknown(modernGroup.unknown)
      : warning(`${groupName(group)}; no post-quantum group (${modernGroup.unknown})`, remedy);
  }
  const name = groupName(modernGroup.value);
  return POST_QUANTUM.includes(modernGroup.value) ? ok(`${name}, post-quantum`) : warning(
    `${name}; no post-quantum group, so what is recorded today may be decrypted later`,
    remedy,
  );
}

function alpnVerdict({ handshake: { alpn }, offeredAlpn, refusesAlpn }: Facts): Verdict {
  const { ok, warning } = about("ALPN");
  const offered = offeredAlpn.join(", ");
  if (refusesAlpn) {
    return warning(
      `the server refuses clients that offer ${offered}`,
      "add the protocol to --alpn-protos, or check with --alpn for the one that the backend speaks",
    );
  }
  if (alpn !== undefined) return ok(`${alpn}, of ${offered}`);
  return ok(offered === "" ? "nothing was offered" : `the server selects none of ${offered}`);
}

function resumptionVerdicts({ resumption: { tls12, tls13 } }: Facts): Verdict[] {
  const all = ([[TLS_1_3, tls13], [TLS_1_2, tls12]] as const).flatMap(([version, result]) =>
    result ? [resumptionVerdict(versionName(version), result)] : []
  );
  return all.length > 0 ? all : [about("resumption").unknown("no connection got that far")];
}

function resumptionVerdict(version: string, result: Resumption): Verdict {
  const { ok, unknown, warning } = about("resumption");
  if ("unknown" in result) return unknown(`${version}: ${result.unknown}`);
  const { by, tries, resumed } = result.value;
  if (by === "") {
    return warning(
      version === "TLS 1.3" ? `${version}: no ticket arrived` : `${version}: not offered`,
      "use --tickets, or --shared-cache; without resumption each connection needs a full handshake",
    );
  }
  if (resumed === tries) return ok(`${version}: by ${by}, ${resumed} of ${tries} tries`);
  const text = `${version}: by ${by}, ${
    resumed === 0 ? "none" : `only ${resumed}`
  } of ${tries} tries`;
  return warning(
    text,
    "let all workers and machines share the keys: --ticket-secret-file or --ticket-store (Node " +
      "build); else --affinity routes a client to the same worker",
  );
}

function endVerdict({ end }: Facts): Verdict {
  const { ok, unknown, warning } = about("end");
  if ("unknown" in end) return unknown(end.unknown);
  const { bytes, end: how, isAnswer, alert } = end.value;
  if (isAnswer && bytes > 0) {
    const text = "half-close works: the server answered an HTTP request after the client's end";
    if (how === "close_notify") return ok(`${text}, and then sent close_notify`);
    // An HTTP answer has a length of its own, so that nothing can be missing unnoticed.
    if (how === "FIN") return ok(`${text}, and then closed without close_notify, as nginx does`);
    if (how === "reset") {
      return warning(
        `${text}, but then reset the connection`,
        "see the log of the server for why it ended",
      );
    }
    return ok(text);
  }
  if (isAnswer) {
    return warning(
      "no answer came to an HTTP request with the client's end right after it: half-close does not " +
        "work, or the backend does not answer",
      "check that the backend answers; stud passes half-close on, so check what is in front of it too",
    );
  }
  const some = bytes > 0 ? `sent ${bytes} more bytes and ` : "";
  const open = "whether it would still answer depends on its protocol";
  switch (how) {
    case "close_notify":
      return ok(`the server ${some}answered the client's end with close_notify; ${open}`);
    case "open":
      return ok(`the server ${some}kept its side open after the client's end; ${open}`);
    case "endless":
      return ok("the server kept sending after the client's end: half-close works");
    case "alert":
      return ok(`the server ended with the alert ${alertName(alert!)}`);
    case "FIN":
    case "reset":
      return warning(
        `the server ${some}ended with ${how} without close_notify`,
        "clients cannot know whether something is missing; see the log of the server for why",
      );
  }
}

function nameVerdicts(facts: Facts): Verdict[] {
  const { problem } = about("SNI");
  const { refusedName, unknownName, withoutName } = facts;
  const found: Verdict[] = [];
  if (refusedName) {
    const { name, alert } = refusedName;
    found.push(problem(
      `the server refuses the name ${name} with the alert ${alertName(alert)}; the rest was ` +
        "checked without a name",
      "add a certificate for this name, or omit --sni-nomatch-abort",
    ));
  }
  if (unknownName) found.push(nameAnswer("an unknown name", unknownName));
  if (withoutName) found.push(nameAnswer("no name", withoutName));
  return found;
}

function nameAnswer(name: string, answer: NameAnswer): Verdict {
  const { ok, unknown } = about("SNI");
  if ("unknown" in answer) return unknown(`${name} gets no answer: ${answer.unknown}`);
  if ("alert" in answer.value) return ok(`${name} gets the alert ${alertName(answer.value.alert)}`);
  return ok(`${name} gets ${answer.value.isSame ? "the same" : "another"} certificate`);
}
