//! Pulls from sources that are honest, that stop, and that lie.

use std::io::{self, Cursor};
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::{Value, json};
use stockade_testkit::requires;
use tempfile::TempDir;

use super::*;
use crate::FindImageError;
use crate::content::tests::{described, layers, name, place};

const OCI: &str = "application/vnd.oci.image";

/// A tar archive with one file of this size.
fn archive(number: usize, size: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(0o644);
    let content: Vec<u8> = (0..size).map(|byte| u8::try_from((byte * 7 + number) % 251).unwrap()).collect();
    builder.append_data(&mut header, format!("file{number}"), &content[..]).unwrap();
    builder.into_inner().unwrap()
}

/// A source in memory that counts what is fetched, and fails on demand.
#[derive(Default)]
struct Memory {
    top: Option<Document>,
    blobs: Vec<(Digest, Vec<u8>)>,
    /// After how many bytes of blobs in all the source breaks.
    breaks: Mutex<Option<usize>>,
    fetched: Mutex<usize>,
}

impl Memory {
    /// An image with that many layers.
    fn image(layers: usize, size: usize) -> Self {
        let mut memory = Self::default();
        let mut diff_ids = Vec::new();
        let mut descriptors = Vec::new();
        for number in 0..layers {
            let archive = archive(number, size);
            diff_ids.push(Digest::of(&archive).to_string());
            let blob = stockade_testkit::layout::gzip(&archive);
            descriptors.push(memory.add("layer.v1.tar+gzip", blob));
        }
        let config = json!({ "architecture": crate::config::machine(), "os": "linux",
                             "rootfs": { "type": "layers", "diff_ids": diff_ids } });
        let config = memory.add("config.v1+json", config.to_string().into_bytes());
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": descriptors });
        memory.top =
            Some(Document { media_type: format!("{OCI}.manifest.v1+json"), bytes: manifest.to_string().into_bytes() });
        memory
    }

    fn add(&mut self, kind: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes);
        let descriptor = Descriptor { media_type: format!("{OCI}.{kind}"), digest, size: bytes.len() as u64 };
        self.blobs.push((digest, bytes));
        described(&descriptor)
    }

    fn fetched(&self) -> usize {
        std::mem::take(&mut *self.fetched.lock().unwrap())
    }

    fn break_after(&self, bytes: Option<usize>) {
        *self.breaks.lock().unwrap() = bytes;
    }
}

impl Source for Memory {
    fn top(&self) -> Result<Document, SourceError> {
        self.top.clone().ok_or_else(|| "there is none".into())
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        let blob = self.blobs.iter().find(|(digest, _)| *digest == descriptor.digest).ok_or("there is none")?;
        Ok(Document { media_type: descriptor.media_type.clone(), bytes: blob.1.clone() })
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + '_>, SourceError> {
        let (_, bytes) = self.blobs.iter().find(|(digest, _)| *digest == descriptor.digest).ok_or("there is none")?;
        let rest = Cursor::new(&bytes[usize::try_from(offset).unwrap()..]);
        Ok(Box::new(Counted { rest, source: self }))
    }
}

struct Counted<'a> {
    rest: Cursor<&'a [u8]>,
    source: &'a Memory,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut breaks = self.source.breaks.lock().unwrap();
        let most = breaks.unwrap_or(usize::MAX).min(buffer.len()).min(1000);
        if most == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let count = self.rest.read(&mut buffer[..most])?;
        if let Some(left) = &mut *breaks {
            *left -= count;
        }
        *self.source.fetched.lock().unwrap() += count;
        Ok(count)
    }
}

/// A store to pull into.
struct Here {
    data: TempDir,
    images: Images,
    layers: Layers,
}

impl Here {
    fn new() -> Self {
        let data = place();
        let (images, layers) = (Images::open(data.path()).unwrap(), layers(data.path()));
        Self { data, images, layers }
    }

    fn pull(&self, source: &dyn Source, text: &str) -> Result<Pulled, PullError> {
        let pull = Pull { images: &self.images, layers: &self.layers, source, platform: None, progress: &Quiet };
        pull.pull(&[name(text)])
    }

    fn count(&self, folder: &str) -> usize {
        std::fs::read_dir(self.data.path().join(folder)).unwrap().count()
    }

    /// Nothing is in the index, and nothing half among the blobs and layers.
    fn assert_without_image(&self) {
        assert!(self.images.list().unwrap().is_empty());
        for entry in std::fs::read_dir(self.data.path().join("images/blobs/sha256")).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            assert_eq!(Digest::of(&std::fs::read(&path).unwrap()).hex(), path.file_name().unwrap().to_str().unwrap());
        }
        assert_eq!(self.count("layers/unpacking"), 0);
    }

    fn assert_whole(&self, text: &str, layers: usize) {
        let image = self.images.find(text).unwrap();
        assert_eq!(image.layers.len(), layers);
        for (number, layer) in image.layers.iter().enumerate() {
            let folder = self.layers.find(&layer.diff_id).unwrap();
            let content = std::fs::read(folder.join(format!("file{number}"))).unwrap();
            assert!(archive(number, content.len())[512..].starts_with(&content));
            let mut blob = Vec::new();
            self.images.blob(&layer.blob.digest).unwrap().unwrap().read_to_end(&mut blob).unwrap();
            assert_eq!(Digest::of(&blob), layer.blob.digest);
        }
        assert_eq!((self.count("images/ingest"), self.count("layers/unpacking")), (0, 0));
    }
}

#[test]
fn an_image_comes_whole_and_once() {
    requires!(root, unpacker);
    let here = Here::new();
    let source = Memory::image(7, 3000);
    let size: usize = source.blobs.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(here.pull(&source, "a:1").unwrap().before, Before::Other);
    here.assert_whole("a:1", 7);
    assert_eq!(source.fetched(), size);
    // Nothing is fetched again, under whatever name.
    assert_eq!(here.pull(&source, "a:1").unwrap().before, Before::Same);
    assert_eq!(here.pull(&source, "b").unwrap().before, Before::Other);
    assert_eq!(source.fetched(), 0);
    // A layer that is gone is unpacked from its blob, a blob that is gone is fetched.
    let image = here.images.find("b").unwrap();
    here.layers.remove(&image.layers[3].diff_id).unwrap();
    here.images.drop_blob(&image.layers[4].blob.digest).unwrap();
    assert_eq!(here.pull(&source, "a:1").unwrap().before, Before::Same);
    here.assert_whole("b", 7);
    assert_eq!(source.fetched() as u64, image.layers[4].blob.size);
}

#[test]
fn wherever_the_source_breaks_the_next_pull_goes_on() {
    requires!(root, unpacker);
    let source = Memory::image(4, 6000);
    let size: usize = source.blobs.iter().map(|(_, bytes)| bytes.len()).sum();
    for breaks in (0..size).step_by(size / 40) {
        let here = Here::new();
        source.break_after(Some(breaks));
        let error = here.pull(&source, "a:1").unwrap_err();
        assert!(matches!(error, PullError::Source(_) | PullError::Arrive(ArriveError::Source(_))), "{error:?}");
        here.assert_without_image();
        let first = source.fetched();
        source.break_after(None);
        here.pull(&source, "a:1").unwrap();
        here.assert_whole("a:1", 4);
        let again = first + source.fetched() - size;
        // The configuration is read as a whole or not at all; of the layers no byte comes twice.
        assert!(again <= source.blobs[4].1.len(), "{again} bytes came twice after {breaks}");
    }
}

#[test]
fn what_is_not_what_its_digest_says_is_refused_and_leaves_nothing() {
    requires!(root, unpacker);
    for place in 0..3 {
        let here = Here::new();
        let mut source = Memory::image(2, 50_000);
        let middle = source.blobs[place].1.len() / 2;
        source.blobs[place].1[middle] ^= 1;
        let error = here.pull(&source, "a:1").unwrap_err();
        here.assert_without_image();
        assert!(matches!(here.images.find("a:1"), Err(FindImageError::Missing(_))), "{error}");
        let told = matches!(&error, PullError::Arrive(ArriveError::Ingest(IngestError::Digest { .. })));
        let config = matches!(&error, PullError::Image(error) if matches!(**error, ImageError::Digest { .. }));
        assert!(if place < 2 { told } else { config }, "{error:?}");
        // What was damaged only on its way is mended by the next pull.
        source.blobs[place].1[middle] ^= 1;
        here.pull(&source, "a:1").unwrap();
        here.assert_whole("a:1", 2);
    }
}

#[test]
fn a_blob_with_more_or_less_than_its_size_is_refused() {
    requires!(root, unpacker);
    for change in [|bytes: &mut Vec<u8>| bytes.truncate(20), |bytes: &mut Vec<u8>| bytes.clear()] {
        let here = Here::new();
        let mut source = Memory::image(1, 50_000);
        change(&mut source.blobs[0].1);
        let error = here.pull(&source, "a:1").unwrap_err();
        assert!(matches!(error, PullError::Arrive(ArriveError::Early { .. })), "{error:?}");
        here.assert_without_image();
    }
    // More than its size: what is behind is never asked for.
    let here = Here::new();
    let mut source = Memory::image(1, 50_000);
    source.blobs[0].1.extend([0; 100]);
    here.pull(&source, "a:1").unwrap();
    here.assert_whole("a:1", 1);
}

#[test]
fn what_an_earlier_attempt_left_damaged_is_fetched_anew() {
    requires!(root, unpacker);
    let here = Here::new();
    let source = Memory::image(1, 50_000);
    let (digest, bytes) = &source.blobs[0];
    std::fs::write(here.data.path().join("images/ingest").join(digest.hex()), vec![0; bytes.len() / 2]).unwrap();
    here.pull(&source, "a:1").unwrap();
    here.assert_whole("a:1", 1);
    // A damaged blob is found when it is unpacked.
    let image = here.images.find("a:1").unwrap();
    here.layers.remove(&image.layers[0].diff_id).unwrap();
    std::fs::write(here.data.path().join("images/blobs/sha256").join(digest.hex()), vec![0; bytes.len()]).unwrap();
    here.pull(&source, "a:1").unwrap();
    here.assert_whole("a:1", 1);
}

#[test]
fn a_layer_that_cannot_be_unpacked_leaves_nothing_of_itself() {
    requires!(root, unpacker);
    let here = Here::new();
    let mut source = Memory::default();
    // What leads out of the layer, in a blob that is what its digest says.
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..9].copy_from_slice(b"../../out");
    header.set_size(0);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend([0; 1024]);
    let layer = source.add("layer.v1.tar", bytes.clone());
    let config = json!({ "architecture": crate::config::machine(), "os": "linux",
                         "rootfs": { "type": "layers", "diff_ids": [Digest::of(&bytes).to_string()] } });
    let config = source.add("config.v1+json", config.to_string().into_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    source.top =
        Some(Document { media_type: format!("{OCI}.manifest.v1+json"), bytes: manifest.to_string().into_bytes() });
    let error = here.pull(&source, "a:1").unwrap_err();
    assert!(matches!(error, PullError::Layer(EnsureError::Unpack { .. })), "{error:?}");
    here.assert_without_image();
    assert_eq!((here.count("images/ingest"), here.count("layers/sha256")), (0, 0));
}

#[test]
fn many_pull_the_same_image_and_share_the_work() {
    requires!(root, unpacker);
    let here = Here::new();
    let source = Memory::image(5, 40_000);
    let config = source.blobs[5].1.len();
    let size: usize = source.blobs.iter().map(|(_, bytes)| bytes.len()).sum();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (data, source) = (here.data.path(), &source);
            scope.spawn(move || {
                let (images, layers) = (Images::open(data).unwrap(), layers(data));
                let pull = Pull { images: &images, layers: &layers, source, platform: None, progress: &Quiet };
                pull.pull(&[name(&format!("a:{number}"))]).unwrap();
            });
        }
    });
    here.assert_whole("a:0", 5);
    assert_eq!(here.images.find("a:0").unwrap().names.len(), 4);
    assert!(source.fetched() <= size + 3 * config, "a layer came twice");
}

#[test]
fn the_platform_is_chosen_and_what_is_for_none_is_refused() {
    requires!(root, unpacker);
    let here = Here::new();
    let (mut source, other) = (Memory::image(1, 100), Memory::image(2, 100));
    let mut of = |memory: &Memory, os: &str, architecture: &str| {
        let bytes = memory.top.as_ref().unwrap().bytes.clone();
        let mut entry = source.add("manifest.v1+json", bytes);
        entry["platform"] = json!({ "os": os, "architecture": architecture });
        entry
    };
    let machine = crate::config::machine();
    let mine = of(&Memory::image(1, 100), "linux", machine);
    let foreign = of(&other, "linux", "s390x");
    source.blobs.extend(other.blobs);
    let index = json!({ "schemaVersion": 2, "manifests": [foreign, mine] });
    source.top = Some(Document { media_type: format!("{OCI}.index.v1+json"), bytes: index.to_string().into_bytes() });
    here.pull(&source, "a:1").unwrap();
    here.assert_whole("a:1", 1);
    let image = here.images.find("a:1").unwrap();
    assert_eq!(image.target.digest, Digest::of(index.to_string().as_bytes()));
    let wanted: Platform = "linux/riscv64".parse().unwrap();
    let pull =
        Pull { images: &here.images, layers: &here.layers, source: &source, platform: Some(&wanted), progress: &Quiet };
    let error = pull.pull(&[name("a:1")]).unwrap_err();
    assert!(matches!(&error, PullError::Image(error) if matches!(**error, ImageError::Platform { .. })), "{error:?}");
    assert_eq!(here.images.find("a:1").unwrap(), image);
    // An image that says nothing in an index says it in its configuration.
    let single = Memory::image(1, 100);
    let pull = Pull { source: &single, ..pull };
    assert!(matches!(pull.pull(&[name("a:1")]), Err(PullError::Platform { .. })));
    // A digest in the name binds.
    let wrong = name("a").repository().with_digest(Digest::of(b"other"));
    let pull = Pull { platform: None, ..pull };
    assert!(matches!(pull.pull(&[wrong]), Err(PullError::Image(_))));
}

#[test]
fn layouts_are_sources() {
    requires!(root, unpacker);
    let (here, there) = (Here::new(), Here::new());
    there.pull(&Memory::image(3, 2000), "x:v1").unwrap();
    let folder = there.data.path().join("images");
    here.pull(&Layout::folder(&folder, Some("v1")).unwrap(), "y:v1").unwrap();
    here.assert_whole("y:v1", 3);
    assert_eq!(here.images.find("y:v1").unwrap().manifest, there.images.find("x:v1").unwrap().manifest);
    assert!(Layout::folder(&folder, Some("v2")).is_err());
}

#[test]
fn progress_tells_honest_numbers() {
    #[derive(Default)]
    struct Told(Mutex<Vec<(u64, Step)>>);
    impl Progress for Told {
        fn begun(&self, layers: &[Descriptor]) {
            assert_eq!(layers.len(), 1);
        }
        fn layer(&self, layer: &Descriptor, step: Step) {
            self.0.lock().unwrap().push((layer.size, step));
        }
    }
    requires!(root, unpacker);
    let here = Here::new();
    let source = Memory::image(1, 400_000);
    let size = source.blobs[0].1.len() as u64;
    source.break_after(Some(source.blobs[1].1.len() + usize::try_from(size / 2).unwrap()));
    here.pull(&source, "a:1").unwrap_err();
    source.break_after(None);
    let told = Told::default();
    let pull = Pull { images: &here.images, layers: &here.layers, source: &source, platform: None, progress: &told };
    pull.pull(&[name("a:1")]).unwrap();
    let steps = told.0.into_inner().unwrap();
    // What was there counts as there.
    let (Some((_, Step::Downloading(first))), last) = (steps.first().copied(), &steps[steps.len() - 3..]) else {
        panic!("{steps:?}")
    };
    assert!(first > 0 && steps.iter().all(|(total, _)| *total == size), "{steps:?}");
    assert_eq!(
        last.iter().map(|(_, step)| *step).collect::<Vec<_>>(),
        [Step::Downloading(size), Step::Downloaded, Step::Complete]
    );
}
