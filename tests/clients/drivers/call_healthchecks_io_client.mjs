// Drives the npm package healthchecks-io-client: its API client and its ping client, both with their option `baseUrl`.

import { createRequire } from 'node:module';

const told = JSON.parse(process.argv[2]);
const { HealthChecksApiClient, HealthChecksPingClient } = createRequire(`${process.env.NODE_MODULES}/`)('healthchecks-io-client');

const connect = (apiKey) => new HealthChecksApiClient({ apiKey, baseUrl: told.url, apiVersion: told.version });

const refusal = async (call) => {
  try {
    await call();
  } catch (error) {
    return error.statusCode;
  }
  return 0;
};

const client = connect(told.api_key);
const made = await client.createCheck({ name: 'Nightly', tags: 'prod db', timeout: 600, grace: 60, channels: '*' });
const uuid = new URL(made.ping_url).pathname.split('/').pop();
const same = await client.createCheck({ name: 'Nightly', timeout: 700, unique: ['name'] });
const cron = await client.createCheck({ name: 'Weekly', tags: 'prod', schedule: '15 4 * * 1', tz: 'Europe/Berlin' });
const cronId = new URL(cron.ping_url).pathname.split('/').pop();

const pinger = new HealthChecksPingClient({ uuid, baseUrl: `${told.url}/ping`, returnResponse: true });
const answers = [
  await pinger.start(), await pinger.success(), await pinger.start(), await pinger.success('12 Dateien größer'),
  await pinger.fail('disk full'), await pinger.fail(),
];

const names = (answer) => answer.checks.map((check) => check.name).sort();
const said = {
  made,
  same: same.ping_url === made.ping_url && same.timeout === 700,
  cron,
  listed: names(await client.getChecks()),
  tagged: names(await client.getChecks(['prod', 'db'])),
  answers,
  updated: await client.updateCheck(uuid, { name: 'Nightly dump', grace: 120 }),
  found: await client.getCheck(uuid),
  pings: (await client.listPings(uuid)).pings,
  flips: (await client.listFlips(uuid, { seconds: 3600 })).flips,
  integrations: (await client.getIntegrations()).channels,
  paused: (await client.pauseCheck(uuid)).status,
  deleted: (await client.deleteCheck(cronId)).name,
  gone: await refusal(() => client.getCheck(cronId)),
  badTimeout: await refusal(() => client.createCheck({ name: 'x'.repeat(101) })),
  readOnly: (await connect(told.api_key_readonly).getChecks()).checks,
  wrongKey: await refusal(() => connect('wrong').getChecks()),
};
process.stdout.write(JSON.stringify(said));
