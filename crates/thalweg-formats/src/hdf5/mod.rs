//! HDF5 files: groups, datasets, attributes; reading and writing. The only module that names the HDF5 crate.
//!
//! Reading is lazy and bounded: an object is looked at when it is asked for, so that a file of thousands of groups
//! costs no more memory than one of them, and every size is compared with the length of the file before anything is
//! allocated. The structures that this takes are read here; unpacking of chunks and all writing is the crate's.
//!
//! Read: superblock 0 to 3, object headers 1 and 2, groups as symbol tables or with their links in the header,
//! compact, contiguous and chunked (B-tree 1) datasets, attributes in the header, global heap for text of variable
//! length. Not read, with an error that says so: groups and attributes in fractal heaps, chunk indexes of later
//! versions, external and virtual datasets. References, and types other than those of [`Dtype`], are told apart from
//! damage: they read as [`Dtype::Other`].

mod array;
mod bytes;
mod chunk;
mod dtype;
mod error;
mod object;
mod read;
mod source;
mod write;

pub use array::Array;
pub(crate) use array::{complexes, to_f64s};
pub use dtype::Dtype;
pub use error::{Error, Fault};
pub use object::Object;
pub use read::{Attribute, Dataset, File, Link};
pub use write::{FileWriter, GroupWriter, RowWriter, Storage};

/// Walks all groups of a file in memory and reads every dataset and attribute; never panics.
///
/// The entry point of the fuzz target and of the replay test. Returns how many objects could be read.
pub fn read_all_for_check(bytes: &[u8]) -> usize {
    let Ok(mut file) = File::from_bytes(bytes.to_vec()) else { return 0 };
    file.limit_reads(16 << 20);
    let mut good = 0;
    let mut budget = 500_usize;
    let Ok(root) = file.root() else { return 0 };
    let mut groups = vec![root];
    while let Some(group) = groups.pop() {
        good += usize::from(file.attributes(&group).is_ok());
        let Ok(links) = file.links(&group) else { continue };
        for link in links {
            let Some(left) = budget.checked_sub(1) else { return good };
            budget = left;
            let Ok(object) = file.open_link(&link) else { continue };
            if object.is_group() {
                groups.push(object);
                continue;
            }
            let Ok(dataset) = file.dataset(object) else { continue };
            good += usize::from(file.read(&dataset).is_ok());
            if let Ok(attributes) = file.attributes(dataset.object()) {
                good += attributes.iter().filter(|attribute| file.texts(&attribute.value).is_ok()).count();
            }
        }
    }
    good
}
