import type * as node from './node.ts';
import { lacking } from '../../util/unsupported.ts';

export const absolutePath: typeof node.absolutePath = (...paths) => paths.join('/');
export const hasStamp: typeof node.hasStamp = async () => lacking('files');
export const ImageUpdate: Pick<typeof node.ImageUpdate, 'open'> = {
  open: async () => lacking('files'),
};
export const imageSink: typeof node.imageSink = async () => lacking('files');
export const imageUpdateSink: typeof node.imageUpdateSink = () => lacking('files');
