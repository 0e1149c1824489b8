//! Every form of compression, and what is made to exhaust memory or disk.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use stockade_testkit::requires;

use super::*;

fn read(compression: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    compression.read(bytes).read_to_end(&mut text).map(|_| text)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// What `zstd` with these arguments makes of `bytes`.
fn zstd(arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut input = tempfile::NamedTempFile::new().unwrap();
    input.write_all(bytes).unwrap();
    let mut command = Command::new("zstd");
    command.args(["-q", "-c"]).args(arguments).arg(input.path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// Text that is neither all the same nor random.
fn sample(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if state >> 62 == 0 { (state >> 40) as u8 } else { b'a' + (state >> 60) as u8 }
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn gzip_of_many_members_is_read() {
    let bytes = sample(200_000);
    let two = [gzip(&bytes[..70_000]), gzip(&bytes[70_000..])].concat();
    assert_eq!(Compression::of(two.as_slice()).unwrap(), Compression::Gzip);
    assert_eq!(read(Compression::Gzip, &two).unwrap(), bytes);
    assert_eq!(read(Compression::None, &bytes).unwrap(), bytes);
    assert!(read(Compression::Gzip, &two[..two.len() - 9]).is_err(), "cut off");
    assert!(read(Compression::Gzip, &[&two[..], b"more"].concat()).is_err(), "with a tail");
    assert!(read(Compression::Gzip, &bytes).is_err());
}

#[test]
fn zstd_of_many_frames_is_read() {
    requires!(zstd);
    let bytes = sample(900_000);
    for arguments in [&["-1"][..], &["-19"], &["--no-check"], &["--no-content-size"], &["--ultra", "-20"]] {
        let skipped = [&0x184d_2a53_u32.to_le_bytes()[..], &5_u32.to_le_bytes(), b"hello"].concat();
        let frames = [
            skipped.clone(),
            zstd(arguments, &bytes[..300_000]),
            zstd(arguments, b""),
            skipped,
            zstd(arguments, &bytes[300_000..300_001]),
            zstd(arguments, &bytes[300_001..]),
        ]
        .concat();
        assert_eq!(Compression::of(frames.as_slice()).unwrap(), Compression::Zstd);
        assert!(read(Compression::Zstd, &frames).unwrap() == bytes, "{arguments:?}");
        assert!(read(Compression::Zstd, &frames[..frames.len() - 5]).is_err(), "cut off");
        assert!(read(Compression::Zstd, &[&frames[..], b"more"].concat()).is_err(), "with a tail");
    }
    assert!(read(Compression::Zstd, &bytes).is_err());
}

#[test]
fn a_window_larger_than_memory_is_refused() {
    // A frame with a window of 3.75 TiB, and one of a single segment that says to have 2^40 bytes.
    let window = [&MAGIC_BYTES[..], &[0x00, 0xff], &[0x01, 0x00, 0x00]].concat();
    let segment = [&MAGIC_BYTES[..], &[0xe0], &(1_u64 << 40).to_le_bytes(), &[0x01, 0x00, 0x00]].concat();
    for bytes in [window, segment] {
        let error = read(Compression::Zstd, &bytes).unwrap_err();
        assert!(error.to_string().contains("window"), "{error}");
    }
}

const MAGIC_BYTES: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

#[test]
fn a_bomb_is_stopped() {
    let bomb = gzip(&vec![0; 16 << 20]);
    assert!(bomb.len() < 1 << 18);
    let mut given = 0;
    let from = MultiGzDecoder::new(bomb.as_slice());
    let mut reader = Bounded { from, taken: Rc::default(), given: FREE - (1 << 20) };
    let mut buffer = vec![0; 1 << 16];
    let error = loop {
        match reader.read(&mut buffer) {
            Ok(0) => panic!("the bomb went off"),
            Ok(count) => given += count,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("expands"), "{error}");
    assert!(given <= 1 << 20);
    assert_eq!((allowance(0), allowance(10), allowance(u64::MAX)), (FREE, FREE + 10 * RATIO, u64::MAX));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for (compression, magic) in [(Compression::Gzip, &[0x1f, 0x8b, 8, 0][..]), (Compression::Zstd, &MAGIC_BYTES)] {
            let outcome = read(compression, &[magic, &bytes].concat());
            prop_assert!(outcome.is_err() || outcome.is_ok_and(|text| text.len() < 200 << 20));
        }
    }
}
