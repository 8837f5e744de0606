// MQTT.js driven by lines of JSON: a command a line on standard input, an answer or an event a line on standard output.
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const mqtt = require("mqtt");

const clients = new Map();

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const bytes = (text) => Buffer.from(text, "base64");

const commands = {
  // Answers with the CONNACK's Session Present.
  open({ client: name, url, options }, done) {
    for (const file of ["ca", "cert", "key"]) {
      if (options[file]) options[file] = fs.readFileSync(options[file]);
    }
    if (options.will) options.will.payload = bytes(options.will.payload);
    const client = mqtt.connect(url, options);
    clients.set(name, client);
    client.on("message", (topic, payload, { qos, retain }) =>
      say({ event: "message", client: name, topic, payload: payload.toString("base64"), qos, retain }),
    );
    client.on("close", () => say({ event: "close", client: name }));
    client.on("error", (error) => done(error));
    client.once("connect", (connack) => done(null, connack.sessionPresent));
  },
  subscribe({ client, filter, qos }, done) {
    clients.get(client).subscribe(filter, { qos }, (error, granted) => done(error, granted && granted[0].qos));
  },
  publish({ client, topic, payload, qos, retain }, done) {
    clients.get(client).publish(topic, bytes(payload), { qos, retain }, (error) => done(error));
  },
  disconnect({ client }, done) {
    clients.get(client).end(false, {}, done);
  },
  cut({ client }, done) {
    clients.get(client).stream.destroy();
    done();
  },
  close({ client }, done) {
    clients.get(client).end(true, {}, () => done());
  },
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  commands[command.command](command, (error, value = null) =>
    say({ answer: command.number, error: error ? String(error) : null, value }),
  );
});
