import { test } from "node:test";
import assert from "node:assert/strict";
import { recognize } from "../../src/connection/foreign_protocol.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const text = (words: string) => Buffer.from(words, "latin1");

test("what clients send instead of TLS is named with its remedy", () => {
  const cases: [bytes: Buffer, what: RegExp, remedy: RegExp][] = [
    [text("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), /plain HTTP$/, /https:/],
    [text("GET http://a/ HTTP/1.1\r\n"), /plain HTTP$/, /https:/],
    [text("OPTIONS * HTTP/1.1\r\n"), /plain HTTP$/, /https:/],
    [text("PROPFIND /dav HTTP/1.1\r\n"), /plain HTTP$/, /https:/],
    [text("CONNECT a.example:443 HTTP/1.1\r\n"), /plain HTTP$/, /https:/],
    [text("GET /"), /plain HTTP$/, /https:/],
    [text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), /h2c/, /alpn-protos/],
    [text("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), /PROXY.*1/, /--accept-proxy/],
    [text("PROXY UNKNOWN\r\n"), /PROXY.*1/, /--accept-proxy/],
    [hex("0d0a0d0a000d0a515549540a 20000000"), /PROXY.*2/, /--accept-proxy/],
    [text("SSH-2.0-OpenSSH_9.2p1\r\n"), /SSH/, /SSH/],
    [text("EHLO mail.example\r\n"), /SMTP/, /465/],
    [text("helo x\r\n"), /SMTP/, /STARTTLS/],
    [text("a1 CAPABILITY\r\n"), /IMAP/, /implicit TLS/],
    [text("CAPA\r\n"), /POP3/, /implicit TLS/],
    [text("AUTH TLS\r\n"), /FTP/, /ftps/],
    [hex("00000008 04d2162f"), /PostgreSQL/, /sslnegotiation=direct/],
    [hex("00000008 04d21630"), /PostgreSQL/, /sslnegotiation=direct/],
    [hex("00000029 00030000 7573657200"), /PostgreSQL/, /sslmode/],
    [hex("100c 0004 4d515454 04 02003c0000"), /MQTT/, /mqtts/],
    [hex("10ff01 0004 4d515454 05"), /MQTT/, /mqtts/],
    [hex("10100006 4d5149736470 03"), /MQTT/, /mqtts/],
    [hex("03000013 0ee0 0000 0000 00 01000800 03000000"), /RDP/, /TLS by itself/],
    [hex("300c020101600702010304008000"), /LDAP/, /ldaps/],
    [hex("301d02010177188016"), /LDAP/, /ldaps/],
    [text("*1\r\n$4\r\nPING\r\n"), /Redis/, /rediss/],
    [text("AMQP\0\0\x09\x01"), /AMQP/, /amqps/],
    [text("<?xml version='1.0'?><stream:stream"), /XMPP/, /direct TLS/],
    [hex("802e0100020015000000100100800200"), /SSLv2/, /TLS 1\.2/],
    [hex("80460103010015000000100100800200"), /SSLv2/, /TLS 1\.2/],
    [hex("16feff0000000000000000"), /DTLS/, /TCP/],
    [hex("050100"), /SOCKS/, /SOCKS/],
    [hex("3a0000000100000000000000dd07000000000000"), /MongoDB/, /tls=true/],
    [hex("1201002f00000100"), /SQL Server/, /Strict/],
  ];
  for (const [bytes, what, remedy] of cases) {
    const found = recognize(bytes, "client");
    assert.match(found?.what ?? "", what, bytes.toString("latin1"));
    assert.match(found?.remedy ?? "", remedy, bytes.toString("latin1"));
  }
});

test("what backends answer instead of TLS is named with its remedy", () => {
  const cases: [bytes: Buffer, what: RegExp][] = [
    [text("HTTP/1.1 400 Bad Request\r\n"), /HTTP/],
    [text("SSH-2.0-OpenSSH_9.2p1\r\n"), /SSH/],
    [text("220 mail.example ESMTP Postfix\r\n"), /SMTP/],
    [text("220 (vsFTPd 3.0.3)\r\n"), /FTP/],
    [text("+OK Dovecot ready.\r\n"), /POP3/],
    [text("* OK [CAPABILITY IMAP4rev1] ready\r\n"), /IMAP/],
    [hex("4a0000000a382e302e333500"), /MySQL/],
    [text("-ERR unknown command\r\n"), /Redis/],
  ];
  for (const [bytes, what] of cases) {
    const found = recognize(bytes, "backend");
    assert.match(found?.what ?? "", what, bytes.toString("latin1"));
    assert.match(found?.remedy ?? "", /backend|by itself/);
  }
});

test("TLS, and bytes without a meaning, are not recognized", () => {
  for (
    const bytes of [
      "",
      "16030102000100",
      "15030300020228",
      "a5a5a5a5a5a5a5",
      "00",
      "0000000000000000000000",
    ]
  ) {
    assert.equal(recognize(hex(bytes), "client"), undefined, bytes);
    assert.equal(recognize(hex(bytes), "backend"), undefined, bytes);
  }
});
