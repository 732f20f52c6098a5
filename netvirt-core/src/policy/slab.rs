//! Things found by their number, in storage of the caller.

use managed::ManagedSlice;

use crate::table::{Full, UnequalCapacity};

/// A place that may be vacant.
pub trait Place: Copy {
    /// Nothing is here.
    const VACANT: Self;
    /// Whether nothing is here.
    fn is_vacant(&self) -> bool;
}

impl<T: Copy> Place for Option<T> {
    const VACANT: Self = None;
    fn is_vacant(&self) -> bool {
        self.is_none()
    }
}

/// Numbered places. A new thing gets the lowest vacant number at or behind the hint.
#[derive(Debug)]
pub(crate) struct Slab<'s, T: Place> {
    places: ManagedSlice<'s, T>,
    /// No place in front of it is vacant.
    hint: usize,
}

impl<'s, T: Place> Slab<'s, T> {
    pub const fn new(places: ManagedSlice<'s, T>) -> Self {
        Self { places, hint: 0 }
    }

    pub fn capacity(&self) -> usize {
        self.places.len()
    }

    #[inline(always)]
    pub fn get(&self, number: usize) -> Option<&T> {
        self.places.get(number).filter(|place| !place.is_vacant())
    }

    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.places
            .get_mut(number)
            .filter(|place| !place.is_vacant())
    }

    /// The place of that number, vacant or not.
    pub fn place_mut(&mut self, number: usize) -> Option<&mut T> {
        self.places.get_mut(number)
    }

    pub fn insert(&mut self, thing: T) -> Result<u32, Full> {
        let vacant = self
            .places
            .iter()
            .skip(self.hint)
            .position(Place::is_vacant)
            .ok_or(Full)?;
        let number = self.hint.saturating_add(vacant);
        *self.places.get_mut(number).ok_or(Full)? = thing;
        self.hint = number.saturating_add(1);
        u32::try_from(number).map_err(|_| Full)
    }

    pub fn remove(&mut self, number: usize) -> Option<T> {
        let place = self
            .places
            .get_mut(number)
            .filter(|place| !place.is_vacant())?;
        self.hint = self.hint.min(number);
        Some(core::mem::replace(place, T::VACANT))
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> + Clone {
        self.places
            .iter()
            .enumerate()
            .filter(|(_, place)| !place.is_vacant())
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.places
            .iter_mut()
            .enumerate()
            .filter(|(_, place)| !place.is_vacant())
    }

    pub fn copy_from(&mut self, other: &Self) -> Result<(), UnequalCapacity> {
        if self.capacity() != other.capacity() {
            return Err(UnequalCapacity);
        }
        self.places.copy_from_slice(&other.places);
        self.hint = other.hint;
        Ok(())
    }
}
