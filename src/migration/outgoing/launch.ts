import { createWordsChannel, type WordsChannelData } from '../../channel/main-words.ts';
import type { SendChannelData } from '../../channel/send.ts';
import { sendChannels } from '../../channel/send-launcher.ts';
import { inlineLauncher } from '../../engine/launch.ts';
import type { ChannelContext } from '../../engine/program.ts';
import type { PrestartedWorkers } from '../../engine/threads/prestarted.ts';
import type { OutgoingEndpoint } from '../../transport/endpoint.ts';
import type { StatisticsCollector } from '../statistics.ts';
import type { OutgoingContent } from './content.ts';
import type { MainChannel } from './main-channel.ts';
import type { CheckedOutgoing } from './options.ts';
import { SendPipeline } from './pipeline.ts';
import type { RoundPlan } from './rounds.ts';

export interface LaunchOptions {
  endpoint: OutgoingEndpoint;
  content: OutgoingContent;
  checked: CheckedOutgoing;
  statistics: StatisticsCollector;
  plan: RoundPlan;
  main: MainChannel;
  /** Workers that are starting already. */
  threads: PrestartedWorkers | undefined;
}

export interface Launched {
  pipeline: SendPipeline;
  /** Resolves when the connection of each channel stands. */
  connected: Promise<void>;
}

/** The channels, which connect once the engine has started, and what hands them their work. */
export function launchSending(options: LaunchOptions): Promise<Launched> {
  return options.checked.multifd ? launchChannels(options) : launchWords(options);
}

async function launchChannels(options: LaunchOptions): Promise<Launched> {
  const { endpoint, content, checked, statistics, plan, threads } = options;
  const { inline, channels, worker, uuid, compression, zlibLevel, zstdLevel } = checked;
  const { route } = endpoint;
  const module = inline ? undefined : (threads ?? worker('send'));
  const { launcher, connected } = sendChannels(endpoint, channels, module);
  const pipeline = await SendPipeline.create({
    content,
    checked,
    statistics,
    plan,
    launcher,
    writesBitmaps: false,
    channelData: (basics): SendChannelData & { route: OutgoingEndpoint['route'] } => ({
      ...basics,
      route,
      uuid,
      compression,
      zlibLevel,
      zstdLevel,
      sources: content.blocks.map(({ descriptor }) => descriptor),
    }),
  });
  return { pipeline, connected };
}

/** Without multifd: pages go on the main channel. */
async function launchWords(options: LaunchOptions): Promise<Launched> {
  const { content, checked, statistics, plan, main } = options;
  const ids = content.blocks.map(({ id }) => id);
  const output = {
    write: (bytes: Uint8Array) => main.write(bytes),
    count(normal: number, zero: number) {
      statistics.mainNormal += normal;
      statistics.mainDuplicate += zero;
    },
  };
  const pipeline = await SendPipeline.create({
    content,
    checked,
    statistics,
    plan,
    launcher: inlineLauncher((context: ChannelContext<WordsChannelData>) =>
      createWordsChannel(context, ids, output),
    ),
    writesBitmaps: false,
    channelData: (basics): WordsChannelData => ({
      ...basics,
      sources: content.blocks.map(({ descriptor }) => descriptor),
    }),
  });
  // It has no connection of its own: what it sends is the main channel's.
  statistics.channels = [];
  return { pipeline, connected: Promise.resolve() };
}
