//! Numbers of cards and accounts.

use crate::engine::validate::{
    Accepts,
    checksum::{luhn, mod97},
    digits::{digits, number, plain, up_to, weighted},
};

/// Validators for means of payment.
pub(super) static NAMED: &[(&str, Accepts)] = &[
    ("card", is_card),
    ("iban", is_iban),
    ("bic", is_bic),
    ("aba", is_aba),
    ("sort-code", |body| digits::<6>(body).is_some()),
    ("clabe", is_clabe),
    ("cvv", |body| {
        matches!(body.len(), 3 | 4) && body.iter().all(u8::is_ascii_digit)
    }),
];

/// A number of a payment card: an issuer that there is, a length that it uses, and a check digit
/// (ISO/IEC 7812-1). The ranges are those that the networks publish.
fn is_card(body: &[u8]) -> bool {
    let Some((found, length)) = up_to::<19>(body) else {
        return false;
    };
    (12..=19).contains(&length) && is_issued(number(&found[..6]), length) && luhn(&found[..length])
}

/// Whether a network uses the first six digits with this length.
fn is_issued(first: u64, length: usize) -> bool {
    let (two, three, four) = (first / 10_000, first / 1000, first / 100);
    let maestro = matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763);
    match length {
        12 => maestro || (56..=58).contains(&two),
        // Visa, of old
        13 => two / 10 == 4 || maestro,
        // Diners Club
        14 => {
            (300..=305).contains(&three) || matches!(two, 36 | 38 | 39) || four == 3095 || maestro
        }
        // American Express, and JCB of old
        15 => matches!(two, 34 | 37) || matches!(four, 2131 | 1800) || maestro,
        16 => {
            let mastercard = (51..=55).contains(&two) || (2221..=2720).contains(&four);
            let discover = four == 6011 || (644..=649).contains(&three) || two == 65;
            let mir = (2200..=2205).contains(&four);
            let rupay = matches!(two, 60 | 81 | 82) || three == 508;
            let elo = matches!(four, 5019 | 5041 | 5061..=5067 | 5078 | 5079 | 5090 | 9792);
            let diners = matches!(two, 36 | 38 | 39) || three == 300;
            let jcb_unionpay = matches!(two, 35 | 62);
            let maestro = maestro || (56..=58).contains(&two) || matches!(two, 61 | 63 | 67);
            two / 10 == 4
                || mastercard
                || discover
                || mir
                || rupay
                || elo
                || diners
                || jcb_unionpay
                || maestro
        }
        // Rarer than numbers that only look so, so the first digits are fewer.
        17 | 18 => two == 62 || maestro || four == 6011,
        19 => two / 10 == 4 || two == 62 || maestro || matches!(four, 6011 | 3528..=3589),
        _ => false,
    }
}

/// The lengths of accounts by country (SWIFT, IBAN Registry).
const IBAN: &[(usize, &[u8])] = &[
    (15, b"NO"),
    (16, b"BE"),
    (18, b"DKFIFOGLNLSDFK"),
    (19, b"MKSI"),
    (20, b"ATBAEEKZLTLUXKMN"),
    (21, b"CHHRLILV"),
    (22, b"BGBHCRDEGBGEIEMERSVA"),
    (23, b"AEGIILIQOMTLSO"),
    (24, b"ADCZESMDPKROSASESKTNVG"),
    (25, b"LYPTST"),
    (26, b"ISTR"),
    (27, b"BIDJFRGRITMCMRSM"),
    (28, b"ALAZBYCYDOGTHNHULBNIPLSV"),
    (29, b"BREGPSQAUA"),
    (30, b"JOKWMUYE"),
    (31, b"MTSC"),
    (32, b"LC"),
    (33, b"RU"),
];

/// An International Bank Account Number (ISO 13616-1): a country, its length, and ISO/IEC 7064 MOD
/// 97-10 over the whole with its first four characters at the end.
///
/// No bank has the code 0000 0000. Accounts of such a bank stand in for real ones.
fn is_iban(body: &[u8]) -> bool {
    let mut found = [0; 34];
    let mut length = 0;
    for byte in plain(body) {
        if !byte.is_ascii_alphanumeric() || length == found.len() {
            return false;
        }
        found[length] = byte.to_ascii_uppercase();
        length += 1;
    }
    let Some((head, rest)) = found[..length].split_first_chunk::<4>() else {
        return false;
    };
    let country = IBAN
        .iter()
        .filter(|(known, _)| *known == length)
        .any(|(_, countries)| countries.chunks(2).any(|country| country == &head[..2]));
    let mut turned = [0; 34];
    turned[..rest.len()].copy_from_slice(rest);
    turned[rest.len()..length].copy_from_slice(head);
    country && !rest.starts_with(b"00000000") && mod97(&turned[..length]) == Some(1)
}

/// A Business Identifier Code (ISO 9362): four letters, a country, a place, perhaps a branch.
fn is_bic(body: &[u8]) -> bool {
    matches!(body.len(), 8 | 11)
        && body[..6].iter().all(u8::is_ascii_uppercase)
        && body[6..]
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && COUNTRIES.chunks(2).any(|country| country == &body[4..6])
}

/// The codes of countries (ISO 3166-1 alpha-2).
const COUNTRIES: &[u8] = b"ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZ\
DEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLC\
LILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSI\
SJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSXKYEYTZAZMZW";

/// A routing number of a bank in the United States (American Bankers Association): a district of
/// the Federal Reserve and weights 3, 7, 1.
fn is_aba(body: &[u8]) -> bool {
    digits::<9>(body).is_some_and(|found| {
        let district = found[0] * 10 + found[1];
        matches!(district, 0..=12 | 21..=32 | 61..=72 | 80)
            && found != [0; 9]
            && weighted(&found, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
    })
}

/// A Mexican account number, the CLABE (Asociación de Bancos de México): weights 3, 7, 1, each
/// product by itself modulo 10.
fn is_clabe(body: &[u8]) -> bool {
    digits::<18>(body).is_some_and(|found| {
        let sum: u32 = found[..17]
            .iter()
            .zip([3u32, 7, 1].into_iter().cycle())
            .map(|(digit, weight)| u32::from(*digit) * weight % 10)
            .sum();
        found[0] <= 9 && (10 - sum % 10) % 10 == u32::from(found[17])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_of_all_networks_are_known() {
        for card in [
            "4111 1111 1111 1111",
            "5555-5555-5555-4444",
            "378282246310005",
            "3714 496353 98431",
            "6011111111111117",
            "30569309025904",
            "3530111333300000",
            "2223003122003222",
            "6200000000000005",
            "4222222222222",
            "6759649826438453",
            "2200000000000053",
            "36227206271667",
            "501800000009",
        ] {
            assert!(is_card(card.as_bytes()), "{card}");
        }
        for text in [
            "4111111111111112",
            "1234567890123456",
            "9999999999999995",
            "0000000000000000",
            "411111111111111x",
            "4111",
        ] {
            assert!(!is_card(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn ibans_of_the_registry_are_known() {
        for iban in [
            "DE89 3704 0044 0532 0130 00",
            "GB29NWBK60161331926819",
            "FR14 2004 1010 0505 0001 3M02 606",
            "NO9386011117947",
            "BE68539007547034",
            "CH9300762011623852957",
            "MT84MALT011000012345MTLCAST001S",
            "NL91ABNA0417164300",
            "ES9121000418450200051332",
            "IT60X0542811101000000123456",
            "PL61109010140000071219812874",
            "SE4550000000058398257466",
        ] {
            assert!(is_iban(iban.as_bytes()), "{iban}");
        }
        for text in [
            "DE89 3704 0044 0532 0130 01",
            "XX89370400440532013000",
            "DE8937040044053201300",
            "DE",
            "",
            "US89370400440532013000",
        ] {
            assert!(!is_iban(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn banks_have_their_codes() {
        assert!(is_bic(b"DEUTDEFF") && is_bic(b"DEUTDEFF500") && is_bic(b"NEDSZAJJXXX"));
        assert!(!is_bic(b"DEUTDEF") && !is_bic(b"DEFAULTS") && !is_bic(b"deutdeff"));
        assert!(
            is_aba(b"021000021")
                && is_aba(b"011401533")
                && !is_aba(b"021000022")
                && !is_aba(b"000000000")
        );
        assert!(is_clabe(b"032180000118359719") && !is_clabe(b"032180000118359718"));
    }
}
