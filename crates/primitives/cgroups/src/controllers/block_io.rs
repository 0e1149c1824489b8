//! Block input and output.
//!
//! v1: `blkio.bfq.weight` or, with CFQ, `blkio.weight` (and `leaf_weight`), each with `_device`;
//! `blkio.throttle.{read,write}_{bps,iops}_device`. v2: `io.bfq.weight`, or else `io.weight` with the number converted;
//! `io.max`. A rate of 0 takes the limit away.

use crate::controller::Controllers;
use crate::layout::Version;
use crate::model::{BlockIo, DeviceRate, IoWeight};
use crate::plan::{Draft, PlanError};
use crate::write::{Expect, Write};

/// Plans the limits.
pub(super) fn write(draft: &mut Draft<'_>, io: &BlockIo) -> Result<(), PlanError> {
    if *io == BlockIo::default() {
        return Ok(());
    }
    match draft.version(Controllers::BLOCK_IO, "a limit on block io")? {
        Version::V1 => write_v1(draft, io),
        Version::V2 => write_v2(draft, io)?,
    }
    Ok(())
}

/// cgroup v1.
fn write_v1(draft: &mut Draft<'_>, io: &BlockIo) {
    let mut add = |write| draft.write(Controllers::BLOCK_IO, write);
    if let Some(weight) = io.weight {
        add(Write::new("blkio.bfq.weight", weight.get()).or(Write::new("blkio.weight", weight.get())));
    }
    if let Some(weight) = io.leaf_weight {
        add(Write::new("blkio.leaf_weight", weight.get()));
    }
    for weight in &io.device_weights {
        let line = |file, number: IoWeight| {
            let value = format!("{} {}", weight.device, number.get());
            Write::new(file, &value).expecting(Expect::Line(value))
        };
        if let Some(number) = weight.weight {
            add(line("blkio.bfq.weight_device", number).or(line("blkio.weight_device", number)));
        }
        if let Some(number) = weight.leaf_weight {
            add(line("blkio.leaf_weight_device", number));
        }
    }
    for (file, rates) in [
        ("blkio.throttle.read_bps_device", &io.read_bps),
        ("blkio.throttle.write_bps_device", &io.write_bps),
        ("blkio.throttle.read_iops_device", &io.read_iops),
        ("blkio.throttle.write_iops_device", &io.write_iops),
    ] {
        for DeviceRate { device, rate } in rates {
            let value = format!("{device} {rate}");
            let expect = if *rate == 0 { Expect::NoLine(device.to_string()) } else { Expect::Line(value.clone()) };
            add(Write::new(file, value).expecting(expect));
        }
    }
}

/// cgroup v2.
fn write_v2(draft: &mut Draft<'_>, io: &BlockIo) -> Result<(), PlanError> {
    if io.leaf_weight.is_some() || io.device_weights.iter().any(|weight| weight.leaf_weight.is_some()) {
        let why = "cgroup v2 has no leaf weights";
        return Err(PlanError::Inexpressible { asked: "block io leaf weight".into(), why });
    }
    let mut add = |write| draft.write(Controllers::BLOCK_IO, write);
    if let Some(weight) = io.weight {
        let line = |file, number: u64| Write::new(file, number).expecting(Expect::Line(format!("default {number}")));
        add(line("io.bfq.weight", weight.get().into()).or(line("io.weight", converted(weight))));
    }
    for weight in &io.device_weights {
        let line = |file, number: u64| {
            let value = format!("{} {number}", weight.device);
            Write::new(file, &value).expecting(Expect::Line(value))
        };
        if let Some(number) = weight.weight {
            add(line("io.bfq.weight", number.get().into()).or(line("io.weight", converted(number))));
        }
    }
    for (key, rates) in
        [("rbps", &io.read_bps), ("wbps", &io.write_bps), ("riops", &io.read_iops), ("wiops", &io.write_iops)]
    {
        for DeviceRate { device, rate } in rates {
            let word = if *rate == 0 { format!("{key}=max") } else { format!("{key}={rate}") };
            let expect = Expect::Word(device.to_string(), word.clone(), *rate == 0);
            add(Write::new("io.max", format!("{device} {word}")).expecting(expect));
        }
    }
    Ok(())
}

/// A weight of 10..=1000 in the units of `io.weight`, 1..=10000.
fn converted(weight: IoWeight) -> u64 {
    1 + (u64::from(weight.get()) - 10) * 9999 / 990
}
